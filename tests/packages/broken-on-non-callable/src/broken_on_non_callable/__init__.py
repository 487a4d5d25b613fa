"""It applies on to what is no callable."""
