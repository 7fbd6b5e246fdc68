"""python -m rag_opt.parts [--markdown] [slot ...]: list every part with its settings, their defaults and ranges."""

from __future__ import annotations

from rag_opt.cli.doors import run_command
from rag_opt.cli.leaving import run_program
from rag_opt.cli.parts_table import parts_command


def main() -> None:
    """Read the options and print the table."""
    run_command(parts_command, "parts")


if __name__ == "__main__":
    run_program(main)
