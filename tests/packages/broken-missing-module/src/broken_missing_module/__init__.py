"""Its entry point names a module that it does not have."""
