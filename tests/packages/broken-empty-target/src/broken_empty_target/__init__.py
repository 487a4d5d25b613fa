"""Its entry point has no target."""
