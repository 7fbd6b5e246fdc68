"""python -m rag_opt.questions make | label [key=value ...]: make questions, or label their evidence."""

from __future__ import annotations

from rag_opt.cli.leaving import run_program
from rag_opt.cli.question_commands import main

if __name__ == "__main__":
    run_program(main)
