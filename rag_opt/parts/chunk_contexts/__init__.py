"""What stands before a chunk where it is embedded and indexed, so that it is found by what it belongs to."""
