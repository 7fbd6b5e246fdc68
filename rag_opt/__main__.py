"""python -m rag_opt: list the commands."""

from __future__ import annotations

from rag_opt.cli.main import main, overview

if __name__ == "__main__":
    import sys

    if len(sys.argv) > 1:
        main()
    else:
        print(overview("python -m rag_opt."))
