from __future__ import annotations


class Unreadable(Exception):
    """A file that cannot be read as what its name says; why, in words that go on from its name."""
