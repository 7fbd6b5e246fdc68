"""What a hit returns: its chunk, or a wider span around it."""
