"""python -m rag_opt.report outputs/<study>: what a study came to, printed and as a page that opens offline."""

from __future__ import annotations

from rag_opt.cli.doors import run_command
from rag_opt.cli.leaving import run_program
from rag_opt.cli.report_command import report_command


def main() -> None:
    """Read the options and report."""
    run_command(report_command, "report")


if __name__ == "__main__":
    run_program(main)
