"""Its import recurses without end."""
