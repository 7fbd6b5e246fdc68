"""The commands by name, and what runs a command that takes options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import typer

from rag_opt.core.faults import explain_fault


class Door(NamedTuple):
    """One command: its module below `rag_opt`, what may follow its name, and what it does.

    `composes`: its arguments are Hydra's (`key=value`) and are passed on unread. `examples`: what may follow its name.
    """

    module: str
    arguments: str
    summary: str
    composes: bool = False
    examples: tuple[str, ...] = ()


DOORS = {
    "start": Door(
        "start",
        "docs/ [--minutes 10]",
        "from a folder of documents to a report and a bundle",
        examples=(
            "docs/",
            "docs/ --questions questions.jsonl --minutes 30",
            "docs/ llm=openai_compatible llm.model=mine",
        ),
    ),
    "search": Door(
        "search",
        "key=value …",
        "find the best pipeline; the same command resumes",
        composes=True,
        examples=(
            "dataset=folder dataset.documents=docs/ dataset.questions=questions.jsonl",
            "space=wide study.trials=100 study.name=wide",
            "only.chunker=[recursive] space.retriever.rrf.top_k=5..20",
            "-m study.seed=1,2,3",
        ),
    ),
    "check": Door(
        "check",
        "[--judge FILE] key=value …",
        "list what a search would refuse, and the machine; or compare a judge with labels",
        composes=True,
        examples=("dataset=folder dataset.documents=docs/ dataset.questions=questions.jsonl",),
    ),
    "estimate": Door(
        "estimate",
        "key=value …",
        "forecast what a search would build, cost and show",
        composes=True,
        examples=("dataset=folder dataset.documents=docs/ dataset.questions=questions.jsonl space=wide",),
    ),
    "report": Door(
        "report.__main__",
        "outputs/<study> [--status]",
        "say what a study came to, and write its page; or steer it",
        examples=(
            "outputs/mystudy",
            "outputs/mystudy --compare 12 37",
            "outputs/mystudy --status",
            "outputs/mystudy --finish",
        ),
    ),
    "export": Door(
        "export",
        "outputs/<study> --out bundle/",
        "write the winner as a bundle that answers on its own",
        examples=("outputs/mystudy --out bundle/", "outputs/mystudy --out bundle/ --trial 0"),
    ),
    "serve": Door(
        "serve",
        "bundle/ [--check]",
        "answer over HTTP from a bundle, or check that it returns what the search saw",
        examples=("bundle/", "bundle/ --check --all", "bundle/ --host 0.0.0.0 --feedback feedback.jsonl"),
    ),
    "gate": Door(
        "gate",
        "NEW --against CHAMPION",
        "whether a bundle, service or log may take the place of another; or --drift",
        examples=(
            "bundle-2/ --against bundle/",
            "http://127.0.0.1:8000 --against log.jsonl --questions questions.jsonl --documents docs/",
            "bundle-2/ --against bundle/ --margin 2 --summary summary.md --junit gate.xml",
            "feedback.jsonl --against bundle/ --drift --label next.jsonl",
        ),
    ),
    "questions": Door(
        "questions",
        "make | label  key=value …",
        "make questions for documents that have none, or label their evidence",
        composes=True,
    ),
    "store": Door(
        "store.__main__",
        "list | verify | evict | forget",
        "list what is stored, verify it, make room, or forget",
        examples=(
            "list",
            "verify",
            "evict --to 2GB",
            "forget --study outputs/mystudy",
            "forget --document handbook.pdf",
        ),
    ),
    "parts": Door(
        "parts.__main__",
        "[--markdown]",
        "list every part that a space can name, with its settings",
        examples=("chunker", "retriever reranker"),
    ),
    "card": Door(
        "card",
        "MODEL [--golden] [--out FILE]",
        "print the card of an embedding model",
        examples=("minilm", "org/model --golden --out conf/embedder/mine.yaml"),
    ),
    "track": Door(
        "track",
        "outputs/<study> | outputs/ --ui",
        "deliver to MLflow what still waits; or open its page",
        examples=("outputs/mystudy", "outputs/ --ui"),
    ),
}


def new_app(help_text: str) -> typer.Typer:
    """Return an empty typer application with this project's manners: plain help, tracebacks as Python prints them."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        no_args_is_help=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def describe_examples(name: str) -> str:
    """Return the examples of a command, a paragraph each, as typer and a terminal show them."""
    lines = [f"  python -m rag_opt.{name} {example}" for example in DOORS[name].examples]
    return "\n\n".join(["Examples:", *lines]) if lines else ""


def run_app(app: typer.Typer, name: str) -> NoReturn:
    """Run an application as `python -m rag_opt.<name>` and leave with its exit code; a RagOptError leaves with 2."""
    exit_with(lambda: app(prog_name=f"python -m rag_opt.{name}"))


def run_command(command: Callable[..., object], name: str) -> NoReturn:
    """Run one function as `python -m rag_opt.<name>`; its parameters are the options."""
    app = new_app(str(command.__doc__))
    app.command(epilog=describe_examples(name))(command)
    run_app(app, name)


def exit_with(main: Callable[[], object]) -> NoReturn:
    """Run `main` and leave with 0, with the code that it leaves with, or with 2 and the message of a RagOptError."""
    try:
        main()
    except Exception as error:  # of any class: a fault of the machine is told as one, another is left to Python
        told = explain_fault(error)
        if told is None:
            raise
        print(told, file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
