from bad_import import handlers, settings

__all__ = ["handlers", "settings"]
