from bad_syntax import handlers

__all__ = ["handlers"]
