"""The console script `rag-opt`: every command as a subcommand."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

from rag_opt import __version__
from rag_opt.cli.doors import DOORS
from rag_opt.cli.leaving import run_program
from rag_opt.core.errors import suggest_names


def program() -> NoReturn:
    """Run the console script; never returns."""
    run_program(main)


def main(arguments: list[str] | None = None) -> None:
    """Run the subcommand that the arguments name; list all commands where they name none.

    The command reads its own arguments: those that compose a config hand theirs to Hydra unread. Leaves with 2 for an
    unknown command, naming the nearest one.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] in (["--version"], ["-V"]):
        print(f"rag_opt {__version__}")
        return
    if not given or given[0] in ("--help", "-h", "help"):
        print(overview("rag-opt "))
        return
    name, *rest = given
    if name not in DOORS:
        print(f"rag-opt: there is no command {name!r}{suggest_names(name, DOORS)}", file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f"rag-opt {name}", *rest]
    importlib.import_module(f"rag_opt.{DOORS[name].module}").main()


def overview(prefix: str) -> str:
    """Return the list of all commands, each with what may follow it and what it does."""
    lines = ["Find the best RAG pipeline for your own documents.", ""]
    lines += [f"  {prefix}{name:<10} {door.arguments:<31} {door.summary}" for name, door in DOORS.items()]
    return "\n".join([*lines, "", "--help after any of them says more."])
