"""Mail for placed orders."""
