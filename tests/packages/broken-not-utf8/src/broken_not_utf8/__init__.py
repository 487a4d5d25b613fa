"""Its source is not UTF-8."""
