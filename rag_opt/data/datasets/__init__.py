"""Readers of test sets: one file a format."""
