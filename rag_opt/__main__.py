"""python -m rag_opt: list the commands."""

from __future__ import annotations

import sys

from rag_opt.cli.leaving import run_program
from rag_opt.cli.main import main, overview

if __name__ == "__main__":
    run_program(main if len(sys.argv) > 1 else lambda: print(overview("python -m rag_opt.")))
