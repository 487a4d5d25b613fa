"""Its import raises."""
