"""Its source is no Python."""
