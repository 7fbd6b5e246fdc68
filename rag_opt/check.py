"""python -m rag_opt.check [--judge FILE [--injections]] [key=value ...]: list what a search would refuse."""

from __future__ import annotations

from rag_opt.cli.checks import main
from rag_opt.cli.leaving import run_program

if __name__ == "__main__":
    run_program(main)
