"""Its import does not find a module that it needs."""
