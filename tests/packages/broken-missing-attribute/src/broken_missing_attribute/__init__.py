"""Its entry point names an attribute that its module does not have."""
