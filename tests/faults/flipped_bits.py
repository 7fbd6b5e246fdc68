"""One flipped bit anywhere in a file of stored values: every value that is read is right, or is computed again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from rag_opt.core.digests import item_key
from rag_opt.store.values import SqliteValues
from tests.faults.outcome import Outcome

_VALUES = 400


def flip(path: Path, dice: np.random.Generator) -> str:
    """Flip a random bit of a file, and say which."""
    content = bytearray(path.read_bytes())
    place, bit = int(dice.integers(len(content))), int(dice.integers(8))
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"{path.name}, byte {place} of {len(content)}, bit {bit}"


def run(rounds: int, folder: Path) -> Outcome:
    """Flip bits in the database, in every fifth round in its write-ahead log."""
    dice, outcome = np.random.default_rng(0), Outcome()
    keys = [item_key("value", number) for number in range(_VALUES)]
    stored = {key: dice.bytes(int(dice.integers(1, 400)) if dice.random() < 0.9 else 9000) for key in keys}
    whole, logged = folder / "whole", folder / "logged"
    values = SqliteValues(whole, set_aside=folder / "aside", report=lambda text: None)
    values.put("table", stored)
    shutil.copytree(whole, logged)  # while it is open: what was written stands in the log alone
    values.close()
    for number in range(rounds):
        in_log = number % 5 == 4
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(logged if in_log else whole, copy)
        where = flip(copy / ("table.sqlite-wal" if in_log else "table.sqlite"), dice)
        outcome.rounds += 1
        _read(copy, folder / "aside", stored, where, outcome)
    return outcome


def _read(folder: Path, aside: Path, stored: dict[bytes, bytes], where: str, outcome: Outcome) -> None:
    """Read all values as a search does, once before what is missing was computed again, once after."""
    said: list[str] = []
    values = SqliteValues(folder, set_aside=aside, report=said.append)
    keys = list(stored)
    try:
        first = values.get("table", keys)
        values.fill("table", keys, lambda positions: [stored[keys[position]] for position in positions])
        values.close()
        again = SqliteValues(folder, set_aside=aside, report=said.append)
        second = again.get("table", keys)
        again.close()
    except Exception as error:  # of any class: it is what is looked for
        outcome.unclear += 1
        outcome.examples.append(f"{where}: {type(error).__name__}: {error}")
        return
    if any(value != stored.get(key) for key, value in {**first, **second}.items()):
        outcome.silent += 1
        outcome.examples.append(f"{where}: a value is wrong")
    if len(second) < len(stored):
        outcome.lost += 1
        outcome.examples.append(
            f"{where}: {len(stored) - len(second)} values are missing after they were computed again"
        )
    shutil.rmtree(aside, ignore_errors=True)
