"""Findings of earlier studies: only of the same data and objective, and none of them can stop a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.folder import StudyFolder
from rag_opt.study.history import find_model_qualities
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, TrialLog

DIGESTS = {"corpus": "a", "set of questions": "b", "split": "c", "objective": "d", "space": "e"}
REST: SpecDict = {
    "query": {"none": {}},
    "expander": {"none": {}},
    "chunker": {"fixed": {}},
    "retriever": {"dense": {}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"extractive": {}},
}
SPACE = Space.from_dict({"embedder": {"model": {"name": ["minilm", "other"]}}}, rest=REST, only={})


def study(root: Path, name: str, *found: tuple[str, float, float], **digests: str) -> StudyFolder:
    """`found`: model, value and coverage of each trial."""
    folder = StudyFolder(root / name)
    folder.path.mkdir()
    folder.bind({**DIGESTS, **digests}, {})
    log = TrialLog(folder.database, name, SPACE, directions=["maximize"])
    for number, (model, value, coverage) in enumerate(found):
        spec = {**REST, "embedder": {"model": {"name": model}}}
        log.commit(Trial(number, "COMPLETE", spec, "sampler", value=value, coverage=coverage), None)
    return folder


@pytest.mark.parametrize(("sign", "best"), [(1, 0.7), (-1, -0.2)])
def test_the_best_value_of_comparable_studies_is_found(tmp_path: Path, sign: int, best: float) -> None:
    mine = study(tmp_path, "mine", ("minilm", 9.0, 1.0))
    study(tmp_path, "one", ("minilm", 0.2, 1.0), ("minilm", 0.7, 1.0), space="wider")
    study(tmp_path, "two", ("minilm", 5.0, 0.1), ("other", -0.5, 1.0))  # the first answered hardly a question
    study(tmp_path, "elsewhere", ("minilm", 8.0, 1.0), corpus="another")
    found, unreadable = find_model_qualities(mine, DIGESTS, sign=sign, min_coverage=0.9)
    assert found == {"minilm": best, "other": sign * -0.5} and not unreadable


def test_a_study_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    mine, good = study(tmp_path, "mine"), study(tmp_path, "good", ("minilm", 0.5, 1.0))
    for name in ("torn", "damaged"):
        study(tmp_path, name, ("minilm", 0.9, 1.0))
    (tmp_path / "torn" / "study.json").write_text('{"digests": ')
    (tmp_path / "damaged" / "study.db").write_bytes(b"no database at all" * 100)
    found, unreadable = find_model_qualities(mine, DIGESTS, sign=1, min_coverage=0.0)
    assert found == {"minilm": 0.5} and set(unreadable) == {"torn", "damaged"} and good.name not in unreadable
