"""python -m rag_opt.gate NEW --against CHAMPION: whether one pipeline may take the place of another."""

from __future__ import annotations

from rag_opt.cli.doors import run_command
from rag_opt.cli.gate_command import gate_command
from rag_opt.cli.leaving import run_program


def main() -> None:
    """Read the options, compare, print the verdict and leave with it."""
    run_command(gate_command, "gate")


if __name__ == "__main__":
    run_program(main)
