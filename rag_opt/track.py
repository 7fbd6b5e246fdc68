"""python -m rag_opt.track outputs/<study>: deliver to MLflow what still waits, each run once."""

from __future__ import annotations

import argparse
import os
import select
import sys
from pathlib import Path

from rag_opt.errors import RagOptError
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
    if given.follow:
        return _follow(folder)
    return _once(folder)


def _once(folder: StudyFolder) -> int:
    from rag_opt.tracking.delivery import Delivery

    delivery = Delivery(folder)
    try:
        delivery.deliver_waiting()
    except Exception as error:
        print(f"{delivery.delivered} delivered, then: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{delivery.delivered} delivered; nothing waits")
    return 0


def _follow(folder: StudyFolder) -> int:
    if hasattr(os, "nice"):
        os.nice(5)  # the search goes first
    from rag_opt.tracking.delivery import follow

    return 1 if follow(folder, _input_is_open) else 0


def _input_is_open() -> bool:
    """Whether the process that started us still holds our input: the system closes it when that process dies."""
    try:
        ready, _, _ = select.select([sys.stdin], [], [], 0)
    except (OSError, ValueError):
        return False
    return not ready or bool(os.read(sys.stdin.fileno(), 1))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RagOptError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
