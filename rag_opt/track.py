"""python -m rag_opt.track outputs/<study>: deliver to MLflow what still waits, each run once."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

from rag_opt.errors import exit_with
from rag_opt.registry import load_parts
from rag_opt.study.folder import StudyFolder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rag_opt.track", description=__doc__)
    parser.add_argument("study", type=Path, help="the study's folder")
    parser.add_argument("--follow", action="store_true", help="go on until standard input closes (used by the search)")
    given = parser.parse_args(arguments)
    folder = StudyFolder(given.study)
    if not (folder.path / "study.json").exists():
        print(f"{folder.path} is not a study's folder (no study.json)", file=sys.stderr)
        return 2
    load_parts()  # what a pipeline is called depends on what its parts are when nobody says
    if given.follow:
        return _follow(folder)
    return _once(folder)


def _once(folder: StudyFolder) -> int:
    from rag_opt.tracking.delivery import Delivery

    delivery = Delivery(folder)
    try:
        delivery.deliver_waiting()
        delivery.search_is_gone()
    except Exception as error:  # whatever MLflow raises, the notes stay and the person is told
        print(f"{delivery.delivered} delivered, then: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{delivery.delivered} delivered; nothing waits")
    return 0


def _follow(folder: StudyFolder) -> int:
    if hasattr(os, "nice"):
        os.nice(5)  # the search goes first
    from rag_opt.tracking.delivery import follow

    closed = _input_closes()
    return 1 if follow(folder, lambda: not closed.is_set()) else 0


def _input_closes() -> threading.Event:
    """Set when the process that started us closes our input, which the system does when that process dies."""
    closed = threading.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=wait, daemon=True).start()
    return closed


if __name__ == "__main__":
    exit_with(main)
