"""State that threads share, and that a forked process may go on using or must never touch."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref


class ThreadLock:
    """A reentrant lock between the threads of one process.

    A process may be forked while another thread holds the lock. That thread does not exist in the child, so there the
    lock begins free.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Make it free, whoever held it. Only in a forked child, before it has a second thread."""
        self._lock = threading.RLock()


def abandon(thing: object) -> None:
    """Keep for ever what a forked process has from its parent and must not end.

    Where it was freed it would wait for threads, or close connections, that are the parent's.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_LOCKS: weakref.WeakSet[ThreadLock] = weakref.WeakSet()  # every lock of this process


def _renew_all() -> None:
    for lock in list(_LOCKS):
        lock.renew()


if sys.platform != "win32":  # nothing is forked there
    os.register_at_fork(after_in_child=_renew_all)
