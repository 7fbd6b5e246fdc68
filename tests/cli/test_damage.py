"""Files of a study that are cut, changed or gone: they are made again, or named, and the search goes on."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from rag_opt.core.errors import BadStudy
from rag_opt.report.study import Study
from rag_opt.study.folder import StudyFolder
from tests.cli.conftest import Command, environment, trials_of


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40:120] = b"\xff" * 80
    path.write_bytes(content)


def change_a_record(path: Path) -> None:
    """Give a trial another value, as a flipped bit would."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE trial_values SET value = value + 0.25 WHERE trial_id = 2")


def harmed(finished: Path, name: str, harms: dict[str, Callable[[Path], object]]) -> Path:
    study = finished.parent / name
    shutil.copytree(finished, study)
    for file, harm in harms.items():
        harm(study / file)
    return study


def results(study: Path) -> list[tuple[object, ...]]:
    return [(trial.spec, trial.value, trial.state, trial.origin) for trial in trials_of(study)]


def test_rows_settings_and_result_that_were_cut_are_made_again(
    finished: Path, command: Command, tiny: list[str]
) -> None:
    study = harmed(
        finished,
        "cut",
        {"rows/0001.parquet": cut, "rows/0002.parquet": Path.unlink, "study.json": cut, "result.json": cut},
    )
    with pytest.raises(BadStudy, match=r"result\.json is damaged"):
        _ = Study(study).result
    exported = command("export", str(study), "--out", str(study / "bundle"))
    assert exported.returncode == 2 and "study.json is damaged" in exported.stderr and "Trace" not in exported.stderr
    done = command("search", *tiny, "study.name=cut", "study.trials=8")
    assert done.returncode == 0, done.stderr + done.stdout
    said = " ".join(done.stdout.split())
    assert "0001.parquet is not what was written; trial 1 was asked again, and scores the same" in said
    assert "0002.parquet is missing; trial 2 was asked again" in said and "study.json was missing or damaged" in said
    assert len(orjson.loads((study / "result.json").read_bytes())["damage"]) == 3
    kept = StudyFolder(study).settings()["runtimes"]
    assert kept and kept == StudyFolder(finished).settings()["runtimes"], "also what its vectors were made with"
    assert [t.value for t in trials_of(finished)] == [t.value for t in load(study)]
    again = command("search", *tiny, "study.name=cut", "study.trials=8")
    assert again.returncode == 0 and "damage" not in again.stdout, "what was made again is sound"


def load(study: Path) -> list[object]:
    return list(Study(study).trials)


@pytest.mark.parametrize("harm", [cut_header, change_a_record, cut])
def test_a_damaged_database_is_set_aside_and_its_trials_come_again(
    finished: Path, command: Command, tiny: list[str], harm: Callable[[Path], None]
) -> None:
    name = f"database-{harm.__name__}"
    study = harmed(finished, name, {"study.db": harm})
    with pytest.raises(BadStudy, match=r"study\.db cannot be read"):
        _ = Study(study).trials
    done = command("search", *tiny, f"study.name={name}", "study.trials=8")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "study.db was damaged" in " ".join(done.stdout.split())
    assert [t.value for t in trials_of(finished)] == [t.value for t in load(study)]
    assert list(study.glob("study.db.damaged-*"))


def test_damage_that_a_search_meets_is_said_in_its_trial_and_its_result(
    finished: Path, command: Command, tiny: list[str]
) -> None:
    outputs = finished.parent.parent / "damaged-store"
    shutil.copytree(finished.parent / "store", outputs / "store")
    for table in ("vectors", "candidates"):
        path = outputs / "store" / "values" / f"{table}.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE entry SET value = x'00' WHERE rowid % 3 = 0")
    done = command("search", *tiny, f"outputs={outputs}", "study.name=first", "study.trials=8")
    assert done.returncode == 0, done.stderr + done.stdout
    said = " ".join(done.stdout.split())
    assert "values that were read do not match their checksum" in said and "damage " in said
    assert [t.value for t in trials_of(outputs / "first")] == [t.value for t in trials_of(finished)]
    damage = orjson.loads((outputs / "first" / "result.json").read_bytes())["damage"]
    assert any("candidates.sqlite" in text for text in damage)


def test_a_full_disk_stops_the_search_and_the_same_command_goes_on(
    finished: Path, workplace: Path, command: Command, tiny: list[str]
) -> None:
    """A limit on the size of files stands for a full disk, which takes a file system of its own (`tests.faults`)."""
    arguments = [*tiny, "dataset.language=en", "outputs=small", "study.name=first", "study.trials=8"]
    line = 'ulimit -f 150; exec "$0" -m rag_opt.search "$@"'
    stopped = subprocess.run(
        ["bash", "-c", line, sys.executable, *arguments],
        cwd=workplace,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == 2, stopped.stderr + stopped.stdout
    assert "the same command goes on" in stopped.stderr
    assert re.search("(no room is left|the disk reports an error).*\n  free: small/store", stopped.stderr), (
        stopped.stderr
    )
    assert "Traceback" not in stopped.stderr
    done = command("search", *arguments)
    assert done.returncode == 0, done.stderr
    ours, theirs = trials_of(workplace / "small" / "first"), trials_of(finished)
    assert [t.spec for t in ours] == [t.spec for t in theirs]
    # a vector changes by its rounding (1e-7) with the batch that it was first encoded in
    assert [t.value for t in ours] == pytest.approx([t.value for t in theirs], abs=1e-6)
