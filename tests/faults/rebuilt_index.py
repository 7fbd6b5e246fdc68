"""The same vectors built again and again, in another process, and after damage: 1,000 queries find the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from rag_opt.parts.indexes.chroma import Chroma
from rag_opt.store.artifacts import Store
from tests.faults.outcome import Outcome

_BUILD = "import sys, pathlib; from tests.faults import rebuilt_index; rebuilt_index.build(pathlib.Path(sys.argv[1]))"
_VECTORS, _QUERIES, _DIMENSIONS, _DEPTH = 2000, 1000, 384, 50


def _draw(count: int, seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, _DIMENSIONS)).astype(np.float32)
    unit: np.ndarray = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def build(folder: Path) -> None:
    Chroma().build_from_vectors(folder, [_draw(_VECTORS, 0)], _VECTORS)


def search(folder: Path) -> np.ndarray:
    found = Chroma().open(folder).search(_draw(_QUERIES, 1), _DEPTH)
    return np.concatenate([found.chunks.astype(np.float64), found.scores.astype(np.float64)], axis=1)


def run(rounds: int, folder: Path) -> Outcome:
    """`rounds`: builds; every second one in a process of its own, the last one after its index was damaged."""
    outcome, expected = Outcome(), None
    for number in range(rounds):
        place = folder / str(number)
        outcome.rounds += 1
        if number % 2:
            subprocess.run([sys.executable, "-c", _BUILD, str(place)], check=True)
        else:
            build(place)
        found = search(place)
        expected = found if expected is None else expected
        if (found != expected).any():
            outcome.silent += 1
            outcome.examples.append(
                f"build {number}: {(found != expected).any(axis=1).sum()} of {_QUERIES} lists differ"
            )
    _after_damage(outcome, folder / "store", expected)
    return outcome


def _after_damage(outcome: Outcome, root: Path, expected: np.ndarray | None) -> None:
    outcome.rounds += 1
    path = Store(root).get_or_build("indexes", "k", build)
    database = path / "chroma.sqlite3"
    content = bytearray(database.read_bytes())
    content[len(content) // 2] ^= 4
    database.write_bytes(content)
    store = Store(root)
    found = search(store.get_or_build("indexes", "k", build))
    if expected is not None and (found != expected).any():
        outcome.silent += 1
        outcome.examples.append("after damage: lists differ")
    if not store.take_notes():
        outcome.unclear += 1
        outcome.examples.append("after damage: nothing was said")
