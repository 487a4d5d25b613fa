"""The catalogue of events: who publishes each, what it carries and who handles it, as a page or as a document."""
