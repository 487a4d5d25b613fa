"""What installing wheels would add, remove and reorder, and which findings it would bring."""
