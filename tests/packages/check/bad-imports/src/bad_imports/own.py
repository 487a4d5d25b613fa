"""A module of the same package."""
