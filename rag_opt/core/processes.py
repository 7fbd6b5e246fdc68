"""Processes of this machine."""

from __future__ import annotations

import os


def is_alive(process: int) -> bool:
    """Return whether a process lives; True where nobody can tell without ending it (Windows)."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
