"""Its import uses a name that nothing defines."""
