"""python -m rag_opt.store [list | verify | evict]: list what is stored, verify it, or make room."""

from __future__ import annotations

from rag_opt.cli.doors import run_app
from rag_opt.cli.leaving import run_program
from rag_opt.cli.store_command import app


def main() -> None:
    """Read the options and run the command that they name."""
    run_app(app, "store")


if __name__ == "__main__":
    run_program(main)
