"""Artifacts appear whole or not at all, values are computed once, and damage is noticed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.digests import digest, item_key
from rag_opt.store.artifacts import Store, sweep_leftovers
from rag_opt.store.values import MemoryValues

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_a_key_depends_on_content_and_not_on_order(value: object) -> None:
    assert digest(value) == digest(value)
    assert digest({"a": 1, "b": value}) == digest({"b": value, "a": 1})
    assert digest({"a": 1, "b": value}) != digest({"a": 2, "b": value})
    assert item_key("one", value) != item_key("two", value)


def write_one(folder: Path) -> None:
    (folder / "data.txt").write_text("content")


def test_an_entry_is_built_once_and_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.get_or_build("chunks", "k", write_one)
    assert (path / "data.txt").read_text() == "content"
    assert Store(tmp_path).get_or_build("chunks", "k", lambda _: pytest.fail("built twice")) == path
    assert store.built == {"chunks": 1}


@pytest.mark.parametrize("harm", ["change", "delete", "manifest"])
def test_a_damaged_entry_is_noticed_set_aside_and_rebuilt(tmp_path: Path, harm: str) -> None:
    path = Store(tmp_path).get_or_build("chunks", "k", write_one)
    target = path / ("manifest.json" if harm == "manifest" else "data.txt")
    target.unlink() if harm == "delete" else target.write_text("rotten!")
    store = Store(tmp_path)
    assert (store.get_or_build("chunks", "k", write_one) / "data.txt").read_text() == "content"
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert "damaged" in store.take_notes()[0]


def test_a_failed_build_leaves_no_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def broken(folder: Path) -> None:
        write_one(folder)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        store.get_or_build("chunks", "k", broken)
    assert not store.has("chunks", "k")
    assert (store.get_or_build("chunks", "k", write_one) / "data.txt").exists()


def _build_slowly(root: str, built: str) -> None:
    def build(folder: Path) -> None:
        time.sleep(0.3)
        write_one(folder)
        with Path(built).open("a") as file:
            file.write("x")

    Store(Path(root)).get_or_build("chunks", "k", build)


def test_several_processes_build_an_entry_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (str(tmp_path / "store"), str(tmp_path / "built"))
    workers = [context.Process(target=_build_slowly, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "built").read_text() == "x"


_KILLED = """
import sys, time
from pathlib import Path
from rag_opt.store.artifacts import Store, sweep_leftovers
def build(folder):
    (folder / "data.txt").write_text("half")
    print("building", flush=True)
    time.sleep(60)
Store(Path(sys.argv[1])).get_or_build("chunks", "k", build)
"""


def test_a_killed_build_leaves_nothing_that_counts(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"building\n"
        os.kill(process.pid, signal.SIGKILL)
    store = Store(tmp_path)
    assert not store.has("chunks", "k")
    assert (store.get_or_build("chunks", "k", write_one) / "data.txt").read_text() == "content"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@given(known=st.sets(st.integers(0, 20)), wanted=st.lists(st.integers(0, 20), max_size=30))
@settings(max_examples=30, deadline=None)
def test_fill_computes_what_is_missing_once(
    tmp_path_factory: pytest.TempPathFactory, kind: str, known: set[int], wanted: list[int]
) -> None:
    values = MemoryValues() if kind == "memory" else Store(tmp_path_factory.mktemp("s")).values
    values.put("table", {item_key("n", i): str(i).encode() for i in known})
    computed: list[int] = []

    def compute(positions: list[int]) -> list[bytes]:
        computed.extend(wanted[position] for position in positions)
        return [str(wanted[position]).encode() for position in positions]

    got = values.fill("table", [item_key("n", i) for i in wanted], compute)
    assert got == [str(i).encode() for i in wanted]
    assert sorted(computed) == sorted(set(wanted) - known)


@pytest.mark.parametrize(
    "harm",
    [
        "value = value || x'00'",
        "value = 7",
        "value = 'text'",
        "value = x''",
        "value = (SELECT value FROM entry WHERE key = x'62')",  # another key's value is sound, but not ours
        "key = 7",
    ],
)
def test_a_damaged_value_is_said_and_computed_again(tmp_path: Path, harm: str) -> None:
    store = Store(tmp_path)
    store.values.put("table", {b"a": b"right", b"b": b"other"})
    store.close()
    with sqlite3.connect(tmp_path / "values" / "table.sqlite") as connection:
        connection.execute(f"UPDATE entry SET {harm} WHERE key = ?", (b"a",))
    connection.close()
    store = Store(tmp_path)
    assert store.values.get("table", [b"a", b"b"]) == {b"b": b"other"}
    assert store.values.fill("table", [b"a"], lambda _: [b"right"]) == [b"right"]
    if "key" not in harm.partition("=")[0]:  # a key that is gone is as if it had never been there
        assert "1 of 2 values that were read do not match" in store.take_notes()[0]
    store.close()
    assert Store(tmp_path).values.get("table", [b"a", b"b"]) == {b"a": b"right", b"b": b"other"}


def test_a_null_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.close()
    (tmp_path / "values").mkdir()
    with sqlite3.connect(tmp_path / "values" / "table.sqlite") as connection:
        connection.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB)")
        connection.execute("INSERT INTO entry VALUES (x'61', NULL)")
    connection.close()
    assert Store(tmp_path).values.fill("table", [b"a"], lambda _: [b"made"]) == [b"made"]


def test_damage_met_while_writing_is_handled_as_while_reading(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.values.put("table", {bytes([i]): bytes(3000) for i in range(100)})
    store.close()
    path = tmp_path / "values" / "table.sqlite"
    content = bytearray(path.read_bytes())
    content[100:104] = b"\xff" * 4  # the header of the schema's page
    path.write_bytes(content)
    store = Store(tmp_path)
    store.values.put("table", {b"new": b"value"})
    assert store.values.get("table", [b"new"]) == {b"new": b"value"}
    assert "was damaged" in store.take_notes()[0]


@pytest.mark.parametrize("harm", ["ALTER TABLE entry RENAME TO other", "DROP TABLE entry"])
def test_a_table_that_another_process_damages_is_mended_by_both(tmp_path: Path, harm: str) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    first.values.put("table", {b"a": b"right"})
    assert second.values.get("table", [b"a"]) == {b"a": b"right"}
    with sqlite3.connect(tmp_path / "values" / "table.sqlite") as connection:
        connection.execute(harm)
    connection.close()
    assert first.values.fill("table", [b"a"], lambda _: [b"right"]) == [b"right"]
    assert second.values.get("table", [b"a"]) == {b"a": b"right"}, "it found what the first one mended"
    assert len(first.take_notes()) == 1 and not second.take_notes()


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "values").mkdir()
    (tmp_path / "values" / "table.sqlite").write_bytes(b"not a database, not at all" * 100)
    values = Store(tmp_path).values
    assert values.fill("table", [b"a"], lambda _: [b"made"]) == [b"made"]
    assert len(list((tmp_path / "damaged").iterdir())) == 1


def test_values_in_memory_forget_what_was_not_asked_for_the_longest() -> None:
    values = MemoryValues(capacity_bytes=700)  # two, with what is beside them
    values.put("table", {b"a": b"a", b"b": b"b"})
    assert values.get("table", [b"a"]) == {b"a": b"a"}
    values.put("table", {b"c": b"c"})
    assert values.get("table", [b"a", b"b", b"c"]) == {b"a": b"a", b"c": b"c"}
    values.put("table", {b"d": b"d" * 1000})
    assert values.get("table", [b"a", b"c", b"d"]) == {} and values.held_bytes == 0, "one that is too large is not kept"


def test_what_killed_writers_left_is_swept_and_what_others_build_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    store = Store(tmp_path)
    for left in (f".x.json.{dead.pid}.aside", f"chunks/.x.{dead.pid}.aside", f"chunks/.y.{os.getpid()}.aside"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).write_text("half")
    (tmp_path / "chunks" / ".building-gone").mkdir()
    (tmp_path / "chunks" / ".building-now").mkdir()
    with store.lock("chunks-now"):
        sweep_leftovers(tmp_path)
    left = {path.name for path in (tmp_path / "chunks").iterdir()}
    assert left == {f".y.{os.getpid()}.aside", ".building-now"} and not list(tmp_path.glob(".*.aside"))
