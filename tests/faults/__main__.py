"""python -m tests.faults [name ...] [--rounds 1.0]: breaks the product on purpose, and prints one table."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults import flipped_bits, flipped_studies, full_disk, rebuilt_index, strange_replies, typing_mistakes
from tests.faults.outcome import Outcome

# by name: what runs, and its rounds at --rounds 1
FAULTS: dict[str, tuple[Callable[[int, Path], Outcome], int]] = {
    "flipped bits in stored values": (flipped_bits.run, 2000),
    "flipped bits in a study's files": (flipped_studies.run, 1200),
    "index built again": (rebuilt_index.run, 10),
    "typing mistakes": (typing_mistakes.run, 100),
    "full disk, three places": (full_disk.run, 12),
    "strange replies": (strange_replies.run, 42),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="a part of a fault's name; all where none is given")
    parser.add_argument("--rounds", type=float, default=1.0, help="scales the number of rounds")
    given = parser.parse_args()
    print("| fault | rounds | lost | silently wrong | unclear message | tracebacks | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    examples = []
    for name, (run, rounds) in FAULTS.items():
        if given.names and not any(part in name for part in given.names):
            continue
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="rag_opt_faults_") as folder:
            found = run(max(1, round(rounds * given.rounds)), Path(folder))
        counts = f"{found.rounds} | {found.lost} | {found.silent} | {found.unclear} | {found.tracebacks}"
        print(f"| {name} | {counts} | {time.perf_counter() - started:.0f} |", flush=True)
        examples += [f"{name}: {example}" for example in found.examples[:20]]
    print(*examples, sep="\n")
    raise SystemExit(1 if examples else 0)


if __name__ == "__main__":
    main()
