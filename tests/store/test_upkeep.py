"""What a store holds is listed, verified, and makes room in the order that costs least."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from rag_opt.cli.store_command import app, read_bytes
from rag_opt.core.digests import item_key
from rag_opt.core.errors import BadStore
from rag_opt.store import upkeep
from rag_opt.store.artifacts import Store

KEYS = [item_key("n", number) for number in range(4000)]


def run_store(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three artifacts of 100 kB, used in the order b, c, a; 4,000 vectors of 200 bytes and as many scores."""
    store = Store(tmp_path / "store")
    for name in "abc":
        store.get_or_build("indexes", name, lambda folder: (folder / "data").write_bytes(b"x" * 100_000) and None)
    for table in ("vectors", "scores"):
        store.values.put(table, {key: key * 12 for key in KEYS})
    store.close()
    for number, name in enumerate("bca"):
        os.utime(store.root / "indexes" / name / "manifest.json", (1000 + number, 1000 + number))
    return store.root


def test_room_is_made_by_what_was_used_longest_ago(root: Path) -> None:
    before = upkeep.total_bytes(root)
    said = upkeep.evict(root, to_bytes=before - 150_000)
    assert [line.split(":")[0] for line in said] == ["indexes/b", "indexes/c"]
    assert upkeep.total_bytes(root) <= before - 150_000
    assert [entry.key for entry in upkeep.list_artifacts(root)] == ["a"]


def test_values_make_room_last_and_vectors_after_scores(root: Path) -> None:
    vectors = next(table for table in upkeep.list_tables(root) if table.key == "vectors")
    upkeep.evict(root, to_bytes=vectors.bytes + 50_000)
    assert vectors.bytes + 20_000 < upkeep.total_bytes(root) <= vectors.bytes + 50_000, "no more goes than must"
    store = Store(root)
    assert upkeep.list_artifacts(root) == []
    assert len(store.values.find_known("vectors", KEYS)) == len(KEYS)
    left = store.values.find_known("scores", KEYS)
    assert len(left) < len(KEYS) and left == set(KEYS[len(KEYS) - len(left) :]), "the oldest go first"
    store.close()
    upkeep.evict(root, to_bytes=0)
    assert sum(table.count for table in upkeep.list_tables(root)) == 0


def test_what_was_evicted_is_built_again(root: Path) -> None:
    upkeep.evict(root, to_bytes=0)
    store = Store(root)
    built = store.get_or_build("indexes", "a", lambda folder: (folder / "data").write_bytes(b"y") and None)
    assert (built / "data").read_bytes() == b"y" and store.built == {"indexes": 1}
    store.close()


def test_using_an_artifact_makes_it_the_youngest(root: Path) -> None:
    store = Store(root)
    store.get_or_build("indexes", "b", lambda folder: None)
    store.close()
    assert [entry.key for entry in upkeep.list_artifacts(root)] == ["c", "a", "b"]


def test_a_store_in_use_is_left_alone(root: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rag_opt.store.artifacts import Store\n"
        "store = Store(Path(sys.argv[1])); print('open', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "open\n"
        with pytest.raises(BadStore, match=f"in use by process {other.pid}"):
            upkeep.evict(root, to_bytes=0)
        other.kill()
    assert upkeep.evict(root, to_bytes=0)  # a dead process holds nothing


def test_damage_is_found_and_taken_out(root: Path) -> None:
    assert run_store("--store", str(root), "verify").exit_code == 0
    (root / "indexes" / "a" / "data").write_bytes(b"other")
    with sqlite3.connect(root / "values" / "vectors.sqlite") as connection:
        connection.execute("UPDATE entry SET value = x'00' WHERE key = ?", [KEYS[7]])
    connection.close()
    found = run_store("--store", str(root), "verify")
    assert found.exit_code == 1
    said = found.output
    assert "indexes/a: data has changed" in said
    assert "vectors.sqlite was damaged (1 values do not match their checksum); 3,999 sound values were kept" in said
    assert run_store("--store", str(root), "verify").exit_code == 0


def test_the_list_says_what_there_is(root: Path) -> None:
    lines = run_store("--store", str(root)).output.splitlines()
    assert any(line.split()[:4] == ["indexes", "3", "0.3", "MB"] for line in lines)
    assert any(line.split()[:2] == ["values/vectors", "4,000"] for line in lines)


@given(number=st.integers(0, 10**6), unit=st.sampled_from(["", "B", "KB", "k", "MB", "M", " GB", "tb"]))
def test_sizes_are_read(number: int, unit: str) -> None:
    factor = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}[unit.strip().upper()[:1]]
    assert read_bytes(f"{number}{unit}") == number * factor


@pytest.mark.parametrize("written", ["", "many", "5 apples", "-3MB"])
def test_other_words_are_refused(written: str) -> None:
    with pytest.raises(BadStore, match="is no size"):
        read_bytes(written)


def test_what_is_of_no_use_makes_room_first(root: Path) -> None:
    before = upkeep.total_bytes(root)
    (root / "damaged").mkdir(exist_ok=True)
    (root / "damaged" / "old").write_bytes(b"x" * 3_000_000)
    upkeep.evict(root, to_bytes=before + 1000)
    assert not (root / "damaged" / "old").exists()
    assert len(upkeep.list_artifacts(root)) == 3 and upkeep.total_bytes(root) <= before + 1000
