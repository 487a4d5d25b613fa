"""The graph from plugins to events to plugins, its cycles, and its drawings."""
