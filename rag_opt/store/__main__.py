"""python -m rag_opt.store [list|verify|evict]: what the store holds, whether it is sound, and how to make room."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from pathlib import Path

from rag_opt.errors import BadStore, exit_with
from rag_opt.store import upkeep

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rag_opt.store", description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("outputs/store"), help="its folder (default: %(default)s)")
    place = argparse.ArgumentParser(add_help=False)  # the same option behind a command; it wins over the one before
    place.add_argument("--store", type=Path, default=argparse.SUPPRESS, help="its folder")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", parents=[place], help="entries and sizes by stage (the default)")
    damaged = "check every checksum; what is damaged is set aside and will be made again"
    commands.add_parser("verify", parents=[place], help=damaged)
    evict = commands.add_parser("evict", parents=[place], help="remove what was used longest ago")
    evict.add_argument("--to", required=True, help="the size to keep, as 500MB or 2GB")
    given = parser.parse_args(arguments)
    if not given.store.is_dir():
        raise BadStore(f"--store: there is no folder {given.store}")
    if given.command == "verify":
        return _verify(given.store)
    if given.command == "evict":
        before, limit = upkeep.size(given.store), read_bytes(given.to)
        for line in upkeep.evict(given.store, to_bytes=limit):
            print(line)
        print(f"{_mb(before)} -> {_mb(upkeep.size(given.store))}")
        return 0
    return _list(given.store)


def _verify(root: Path) -> int:
    found = list(upkeep.verify(root))
    for line in found:
        print(line)
    print(f"{len(found)} problems in {len(upkeep.artifacts(root)):,} artifacts and the values beside them")
    return 1 if found else 0


def _list(root: Path) -> int:
    stages: dict[str, list[upkeep.Entry]] = {}
    for entry in upkeep.artifacts(root):
        stages.setdefault(entry.stage, []).append(entry)
    print(f"{'what':<20}{'entries':>10}{'size':>12}{'took':>10}   last used")
    for stage, entries in sorted(stages.items()):
        took = f"{sum(entry.seconds for entry in entries):,.0f} s"
        _print(stage, len(entries), sum(entry.bytes for entry in entries), took, max(entry.used for entry in entries))
    for shelf in upkeep.shelves(root):
        _print(f"values/{shelf.key}", shelf.count, shelf.bytes, "", shelf.used)
    print(f"{'together':<20}{'':>10}{_mb(upkeep.size(root)):>12}")
    return 0


def _print(what: str, count: int, size: int, took: str, used: float) -> None:
    day = dt.datetime.fromtimestamp(used).astimezone().strftime("%Y-%m-%d %H:%M")
    print(f"{what:<20}{count:>10,}{_mb(size):>12}{took:>10}   {day}")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def read_bytes(written: str) -> int:
    """Bytes of "500MB" or "2 GB". Raises BadStore."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*", written.upper())
    unit = found[2] if found and found[2] in _UNITS else (f"{found[2]}B" if found else "")
    if not found or unit not in _UNITS:
        raise BadStore(f"--to: {written!r} is no size; write it as 500MB or 2GB")
    return int(float(found[1]) * _UNITS[unit])


if __name__ == "__main__":
    exit_with(main)
