"""The command `track`: deliver to MLflow what still waits."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from rag_opt.core.errors import BadInput
from rag_opt.core.registry import load_parts
from rag_opt.study.folder import StudyFolder


def track_command(
    study: Annotated[Path, typer.Argument(help="The study's folder; with --ui the folder of all studies.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until standard input closes (used by the search).")
    ] = False,
    ui: Annotated[
        bool, typer.Option("--ui", help="Start MLflow's page and open the trials of the newest study.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the page.")] = 5000,
) -> None:
    """Deliver to MLflow what still waits, each run once; or open its page."""
    if ui:
        from rag_opt.cli.mlflow_page import serve_mlflow

        raise typer.Exit(serve_mlflow(study, port))
    folder = StudyFolder(study)
    if not (folder.path / "study.json").exists():
        raise BadInput(f"{folder.path} is not a study's folder (no study.json)")
    load_parts()  # what a pipeline is called depends on what its parts are when nobody says
    raise typer.Exit(_follow(folder) if follow else _once(folder))


def _once(folder: StudyFolder) -> int:
    from rag_opt.tracking.worker import Delivery

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
    if sys.platform != "win32":
        os.nice(5)  # the search goes first
    from rag_opt.tracking.worker import follow

    closed = _input_closes()
    return 1 if follow(folder, lambda: not closed.is_set()) else 0


def _input_closes() -> threading.Event:
    """Return an event that is set when our input closes: the system does that when the starting process dies."""
    closed = threading.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=wait, daemon=True).start()
    return closed
