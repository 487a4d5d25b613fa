"""Its entry point's target can be no module."""
