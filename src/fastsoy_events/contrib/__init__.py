"""One small module for each framework; nothing here is imported unless the application does it."""
