"""Its import exits."""
