"""The command `report`: what a study came to, printed, as a page, or as a table; and a word to a search that runs."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_opt.core.errors import BadInput, RagOptError

if TYPE_CHECKING:
    from rag_opt.report.contents import Contents, Text


def report_command(
    study: Annotated[Path, typer.Argument(help="The study's folder.")],
    compare: Annotated[
        tuple[int, int] | None, typer.Option(help="Two trials, put side by side on a page of their own.")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Only print where the search stands.")] = False,
    table: Annotated[Path | None, typer.Option("--csv", help="Only write a table of the trials to this file.")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Have the search leave the trial that runs.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Have the search end now, with finalists and a winner.")
    ] = False,
) -> None:
    """Say what a study came to, and write its page."""
    from rag_opt.core.registry import load_parts
    from rag_opt.report.contents import open_contents
    from rag_opt.report.page import PAGE
    from rag_opt.report.writing import write_page

    load_parts()
    if skip or finish:
        print(ask_search(study, "finish" if finish else "skip"))
        return
    contents = open_contents(study, compare or ())
    if table is not None:
        write_table(contents, table)
        print(f"{len(contents.study.trials)} trials -> {table}")
        return
    print_status(contents, advise=not status)
    if not status:
        name = f"compare-{compare[0]}-{compare[1]}.html" if compare else PAGE
        print(f"page      {write_page(contents, study / name, find_text(study))}")


def ask_search(study: Path, word: str) -> str:
    """Leave a word for the search that runs on a study, and return what will come of it. Raises BadInput."""
    from rag_opt.study.folder import StudyFolder

    folder = StudyFolder(study)
    if not (study / "study.json").exists():
        raise BadInput(f"{study} is not a study's folder (no study.json)")
    if not folder.busy:
        raise BadInput(f"no search runs on {study}")
    folder.ask(word)
    if word == "skip":
        return "the trial that runs is left at its next step, and counts as tried"
    return "no trial begins any more: the search goes on to the finalists and ends with a winner"


def print_status(contents: Contents, *, advise: bool = False) -> None:
    """Print the summary of a study that has ended, or how far one is."""
    from rich.console import Console

    from rag_opt.report.summary import build_summary

    console = Console(file=sys.stdout, highlight=False)
    result, study = contents.result, contents.study
    if result is None:
        from rag_opt.report.headline import write_headline

        head = write_headline(contents)
        console.print(f"{head.title}: {head.status}")
        value = head.numbers[0].written if head.numbers else "none"
        console.print(f"best so far {value}  trial {head.winner_number}: {head.winner}", soft_wrap=True)
        return
    places = {"export": f"python -m rag_opt.export {study.path} --out bundle/"}
    if result.removed:
        places = {"keep": f"what you have: the space leaves out {', '.join(result.removed)}"}
    objectives = [contents.objective, *contents.facts.get("against", ())]
    made = study.settings.get("questions", [])
    console.print(build_summary(result, study.trials, objectives=objectives, places=places, questions=made))
    for number, one in enumerate(contents.advice[:3] if advise else (), start=1):
        console.print(f"next {number}    {one.text}", soft_wrap=True, markup=False)
        console.print(f"          {one.override}", style="dim", soft_wrap=True, markup=False)


def find_text(study: Path) -> Text | None:
    """Return what gives the texts of a study's documents; None where they are not there any more, or have changed."""
    from rag_opt.cli.stored_config import stored_config
    from rag_opt.report.writing import text_of
    from rag_opt.setup.inputs import read_inputs
    from rag_opt.study.folder import StudyFolder

    folder = StudyFolder(study.resolve())
    try:
        with stored_config(folder) as (composed, folders):
            readings = read_inputs(composed, folders).readings
    except (RagOptError, OSError):
        return None
    return text_of(readings) if readings.digest == folder.settings()["digests"].get("corpus") else None


def write_table(contents: Contents, path: Path) -> None:
    """Write a row for each trial: number, value, state, settings by path, metrics."""
    trials = contents.study.trials
    paths = sorted({name for trial in trials for name in contents.parameters[trial.number]})
    metrics = sorted({name for trial in trials for name in trial.metrics})
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "value", "error", "state", "origin", "seconds", *paths, *metrics, "reason"])
        for trial in trials:
            chosen = contents.parameters[trial.number]
            own = [trial.number, trial.value, trial.error, trial.state, trial.origin, trial.seconds]
            numbers = [trial.metrics.get(name) for name in metrics]
            writer.writerow([*own, *(chosen.get(name) for name in paths), *numbers, trial.reason])
