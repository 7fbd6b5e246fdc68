"""The command `start`: questions, estimate, search, report and bundle for a folder, by the commands that do each."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rag_opt.core.errors import BadInput, RagOptError

_COUNT = 80  # questions that are made where there are none
_LEAST_MINUTES = 2.0
_SHARE_OF_EXPORT = 0.25  # of the time, kept for the bundle and its check


def start_command(
    documents: Annotated[Path, typer.Argument(help="A folder of documents, or one document.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings of the search, as llm=openai_compatible space=answering.")
    ] = None,
    questions: Annotated[Path | None, typer.Option(help="Questions as JSON lines; without them some are made.")] = None,
    minutes: Annotated[float, typer.Option(help="Time for all of it.")] = 10.0,
    outputs: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("outputs"),
) -> None:
    """Go from a folder of documents to a report and a bundle."""
    print(start(documents, questions, overrides or [], minutes=minutes, outputs=outputs))


def start(documents: Path, questions: Path | None, overrides: Sequence[str], *, minutes: float, outputs: Path) -> str:
    """Make what is missing, search, report and export; return where it all is. Raises RagOptError."""
    started = time.monotonic()
    if not documents.exists():
        raise BadInput(f"there is no file or folder {documents}")
    if questions is not None and not questions.exists():
        raise BadInput(f"--questions: there is no file {questions}")
    if minutes < _LEAST_MINUTES:
        raise BadInput(f"--minutes: is {minutes:g}; should be at least {_LEAST_MINUTES:g}")
    name = re.sub(r"[^\w-]+", "-", documents.resolve().stem).strip("-") or "documents"
    data = ["dataset=folder", f"dataset.documents={documents}", f"dataset.name={name}", "dataset.on_error=skip"]
    data = [*data, f"outputs={outputs}", *overrides]
    asked = questions or outputs / f"{name}-questions.jsonl"
    if questions is None and asked.exists():
        print(f"questions {asked} of an earlier start are taken again")
    elif questions is None:
        print("questions there are none, so some are made of the documents: look at them afterwards")
        asked.parent.mkdir(parents=True, exist_ok=True)
        try:
            _run("questions", "make", *data, f"questions.out={asked}", f"questions.count={_COUNT}")
        except RagOptError:
            raise RagOptError(
                "no questions could be made of these documents by rule; give some by --questions, or a language model "
                "that writes them: llm=openai_compatible llm.base_url=…"
            ) from None
    data = [*data, f"dataset.questions={asked}", f"study.name={name}"]
    _run("estimate", *data, f"budget.minutes={minutes:g}")
    left = minutes - (time.monotonic() - started) / 60
    _run("search", *data, f"budget.minutes={max(left * (1 - _SHARE_OF_EXPORT), 1.0):.1f}")
    bundle = _free_folder(outputs / name / "bundle")
    _run("export", str(outputs / name), "--out", str(bundle))
    took = (time.monotonic() - started) / 60
    lines = [
        f"\ndone in {took:.1f} minutes",
        f"report    {outputs / name / 'report.html'}",
        f"bundle    {bundle}",
        f"questions {asked}" + ("" if questions is not None else ": made; better ones make a better choice"),
    ]
    return "\n".join(lines)


def _run(command: str, *arguments: str) -> None:
    """Print a command and run it. Raises RagOptError where it fails; it has said why."""
    print(f"\n$ {shlex.join(['python', '-m', f'rag_opt.{command}', *arguments])}", flush=True)
    done = subprocess.run([sys.executable, "-m", f"rag_opt.{command}", *arguments], check=False)
    if done.returncode:
        raise RagOptError(f"rag_opt.{command} ended with {done.returncode}; what was made before it is kept")


def _free_folder(folder: Path) -> Path:
    """Return a folder that is not there yet: this one, or with the first free number."""
    names: Sequence[Path] = [folder, *(folder.with_name(f"{folder.name}-{number}") for number in range(2, 1000))]
    return next(name for name in names if not name.exists())
