"""Inspection: what plugins would do, by their metadata and their source. Only the command line imports it."""
