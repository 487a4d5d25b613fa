"""Mutation testing of the modules that everything stands on: `make mutants`."""
