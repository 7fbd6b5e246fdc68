"""python -m rag_opt.export outputs/<study> --out bundle/: write the winner as a bundle, and check it."""

from __future__ import annotations

from rag_opt.cli.doors import run_command
from rag_opt.cli.export_command import export_command
from rag_opt.cli.leaving import run_program


def main() -> None:
    """Read the options and export."""
    run_command(export_command, "export")


if __name__ == "__main__":
    run_program(main)
