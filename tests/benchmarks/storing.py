"""The store: reading many vectors, planning over what is stored, adding a document."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from rag_opt.core.digests import item_key
from rag_opt.store.artifacts import Store

_COUNT = 100_000


def measure() -> list[tuple[str, str, str]]:
    vectors = np.random.default_rng(0).normal(size=(_COUNT, 384)).astype(np.float32)
    keys = [item_key("benchmark", number) for number in range(_COUNT)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        started = time.perf_counter()
        store.values.put("vectors", {key: row.tobytes() for key, row in zip(keys, vectors, strict=True)})
        writing = time.perf_counter() - started
        store.close()
        reading, looking = [], []
        for _ in range(3):
            store = Store(Path(folder))
            started = time.perf_counter()
            found = store.values.get("vectors", keys)
            reading.append(time.perf_counter() - started)
            started = time.perf_counter()
            known = store.values.find_known("vectors", keys)
            looking.append(time.perf_counter() - started)
            assert len(found) == len(known) == _COUNT
            store.close()
    return [
        (f"{_COUNT:,} vectors of 384 read and checked", f"{statistics.median(reading):.2f} s", "1 s"),
        ("… which of them are there", f"{statistics.median(looking):.2f} s", ""),
        ("… written", f"{writing:.1f} s", ""),
    ]
