"""The command `gate`: whether one pipeline may take the place of another; or what a month of questions says."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_opt.cli.composing import conf_folder
from rag_opt.core import strict
from rag_opt.core.errors import RagOptError
from rag_opt.core.yaml_files import read_yaml

if TYPE_CHECKING:
    from rag_opt.evaluation.run import ScoringResources


def gate_command(
    new: Annotated[str, typer.Argument(help="A bundle's folder, the address of a service, or a log (.jsonl).")],
    against: Annotated[str, typer.Option(help="What it is compared with: one of the same.")],
    questions: Annotated[Path | None, typer.Option(help="File of questions; else those that a bundle stores.")] = None,
    documents: Annotated[str | None, typer.Option(help="Folder of documents, where no side is a bundle.")] = None,
    margin: Annotated[float, typer.Option(help="Points of the objective that may be lost.")] = 3.0,
    ask: Annotated[bool, typer.Option("--ask", help="Ask bundles anew, not by what they stored.")] = False,
    judge: Annotated[Path | None, typer.Option(help="YAML with the settings of a judge, as in llm/.")] = None,
    judge_calls: Annotated[int, typer.Option(min=1, help="With --judge: most calls of it.")] = 500,
    summary: Annotated[Path | None, typer.Option(help="Write a Markdown summary for a pull request.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="NEW is a log: what was asked that the bundle's test set lacks.")
    ] = False,
    label: Annotated[Path | None, typer.Option(help="With --drift: write the questions to label next.")] = None,
    plugins: Annotated[list[str] | None, typer.Option(help="Package that a bundle's parts may come from.")] = None,
    allow_code: Annotated[list[str] | None, typer.Option(help="Model whose code may run, as id@revision.")] = None,
) -> None:
    """Compare two pipelines on the same questions.

    Exit 0: not worse by more than the margin; 1: worse; 3: cannot be judged (how many questions would do is said).
    """
    from rag_opt.setup.builtins import load_built_in

    load_built_in(["objectives", *(plugins or ())])
    with _leaving_with_2():
        if drift:
            from rag_opt.production.gate.drift import find_drift, write_questions

            found = find_drift(
                Path(new), Path(against), plugins=tuple(plugins or ()), allow_code=tuple(allow_code or ())
            )
            print(found.describe())
            if label is not None:
                write_questions(label, found)
            return
        from rag_opt.production.gate.gate import run_gate
        from rag_opt.production.gate.reports import to_annotation, to_line, write_reports

        result = run_gate(
            new,
            against,
            _gather_resources(judge, judge_calls),
            questions=questions,
            documents=documents,
            margin=margin / 100,
            asks=ask,
            plugins=tuple(plugins or ()),
            allow_code=tuple(allow_code or ()),
        )
        print(to_line(result.describe()))
        for note in result.compared.notes:
            print(f"  {to_line(note)}")
        if os.environ.get("GITHUB_ACTIONS") == "true":
            print(to_annotation(result))
        write_reports(result, summary=summary, junit=junit)
        sys.exit(int(result.judgement.verdict))


@contextlib.contextmanager
def _leaving_with_2() -> Iterator[None]:
    """Leave with 2 for a fault of the program: Python's own 1 would say that the new side is worse."""
    try:
        yield
    except RagOptError:
        raise
    except Exception:  # of whatever class: the fault may be a library's
        traceback.print_exc()
        sys.exit(2)


def _gather_resources(judge: Path | None, calls: int) -> ScoringResources:
    """Return what objectives are handed: embedding models by the names of their cards, and the judge, if any."""
    import functools

    from rag_opt.evaluation.run import ScoringResources
    from rag_opt.models.embedder_cards import embedder_card_library
    from rag_opt.models.encoder import Encoder
    from rag_opt.models.llm.budget import Budget, BudgetTracker
    from rag_opt.models.llm.client import LLMClient
    from rag_opt.models.llm.settings import Judge
    from rag_opt.models.runtimes import Machine
    from rag_opt.store.values import MemoryValues

    values, cards = MemoryValues(), embedder_card_library([conf_folder()])

    @functools.cache
    def encoder(name: str) -> Encoder:
        return Encoder(cards.read(name), values=values, machine=Machine())

    if judge is None:
        return ScoringResources(encoder)
    settings = strict.load(Judge, read_yaml(judge), path=str(judge))
    tracker = BudgetTracker(Budget(calls=calls))
    return ScoringResources(encoder, LLMClient(settings, values, who="judge", budget_tracker=tracker))
