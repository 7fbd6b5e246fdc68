"""Studies and stores of other formats: read, or refused by their number."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rag_opt.core.errors import BadStore, StudyMismatch
from rag_opt.report.study import Study
from rag_opt.store.artifacts import Store
from rag_opt.study.folder import StudyFolder, read_json, write_json

KEPT = Path(__file__).parent / "kept" / "study_format_1"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    shutil.copytree(KEPT, tmp_path / "kept")
    return tmp_path / "kept"


def test_a_study_of_format_1_is_read_as_it_is(kept: Path) -> None:
    study = Study(kept)
    assert "format" not in read_json(kept / "study.json"), "as it was before formats had numbers"
    assert study.best is not None and study.best.number == 3 and [t.state for t in study.trials].count("COMPLETE") >= 3
    rows = study.rows(3)
    assert {row["question_id"] for row in rows} and all(row["hits"] for row in rows)
    assert "winner    trial 3" in study.summary()


def test_a_study_of_another_format_is_refused_by_its_number(kept: Path) -> None:
    write_json(kept / "study.json", {**read_json(kept / "study.json"), "format": 2})
    with pytest.raises(StudyMismatch, match=r"is a study of format 2, where this version reads 1.*study\.name=kept-2"):
        Study(kept).settings  # noqa: B018
    with pytest.raises(StudyMismatch, match="format 2"):  # nor is it taken for damaged, and written anew
        StudyFolder(kept).bind({}, {})


def test_a_store_is_marked_and_one_of_another_format_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "store").close()
    mark = tmp_path / "store" / "format"
    assert mark.read_text() == "1\n"
    mark.unlink()  # as one was before formats had numbers
    Store(tmp_path / "store").close()
    assert mark.read_text() == "1\n"
    mark.write_text("2\n")
    with pytest.raises(BadStore, match="is a store of format 2, where this version reads 1: use another folder"):
        Store(tmp_path / "store")
