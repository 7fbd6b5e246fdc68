"""Malformed files of questions (tests/data/malformed_files.py): how many are read, how many refused by place."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from rag_opt.core.errors import BadInput
from rag_opt.setup.builtins import load_built_in
from tests.data.malformed_files import cases


def measure() -> list[tuple[str, str, str]]:
    load_built_in()
    counts = Counter[str]()
    for name, case in cases():
        with tempfile.TemporaryDirectory() as folder:
            try:
                data = case.read(Path(folder))
                right = not case.refused and case.check(data) and any(case.said in note for note in (*data.notes, ""))
                counts["read" if right else f"read, but not as it should be: {name}"] += 1
            except BadInput as error:
                right = bool(case.refused) and case.refused in str(error)
                counts["refused with their place" if right else f"refused otherwise: {name}"] += 1
            except Exception as error:  # of any class: it is what is counted
                counts[f"a traceback: {name}: {type(error).__name__}"] += 1
    found = ", ".join(f"{count} {what}" for what, count in counts.items())
    return [(f"{counts.total()} malformed files of SQuAD, BEIR, AutoRAG, ragas and others", found, "0 tracebacks")]
