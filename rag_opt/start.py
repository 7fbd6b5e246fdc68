"""python -m rag_opt.start docs/: from a folder of documents to a report and a bundle, within ten minutes."""

from __future__ import annotations

from rag_opt.cli.doors import run_command
from rag_opt.cli.leaving import run_program
from rag_opt.cli.start_command import start_command


def main() -> None:
    """Read the options and go."""
    run_command(start_command, "start")


if __name__ == "__main__":
    run_program(main)
