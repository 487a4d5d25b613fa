"""Its entry_points.txt, written by a tool that no longer exists, has a line without '='."""
