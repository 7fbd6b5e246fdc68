"""Settings and specs are loaded strictly, and every problem is listed with its path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core import strict
from rag_opt.core.errors import BadInput
from rag_opt.core.registry import lookup
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.schema import StudySettings


def problems(error: pytest.ExceptionInfo[BadInput]) -> str:
    return str(error.value)


def test_every_problem_is_listed_with_path_value_and_remedy() -> None:
    with pytest.raises(BadInput) as error:
        strict.load(StudySettings, {"trails": 3, "seed": -1, "search_share": "half"}, path="study")
    said = problems(error)
    assert "study.trails: there is no setting 'trails'; did you mean 'trials'?" in said
    assert "study.seed: is -1; should be greater than or equal to 0" in said
    assert "study.search_share: is 'half'" in said


@pytest.mark.parametrize("wrong", [{"size": "160"}, {"size": True}, {"size": 1}, {"overlap": 1.0}, {"sise": 160}])
def test_parts_refuse_wrong_settings(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        strict.load(lookup("chunker", "fixed"), wrong, path="chunker.fixed")


def test_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(BadInput) as error:
        lookup("reranker", "mrm", where="space.reranker")
    assert "space.reranker: no reranker is called 'mrm'; did you mean 'mmr'?" in problems(error)


@given(st.integers(8, 512), st.floats(0, 0.9), st.integers(1, 50))
def test_a_spec_survives_json(size: int, overlap: float, top_k: int) -> None:
    data = {
        "chunker": {"recursive": {"size": size, "overlap": overlap}},
        "embedder": {"model": {"name": "minilm"}},
        "retriever": {"dense": {"top_k": top_k}},
        "reranker": "none",
        "packer": "ranked",
        "generator": "extractive",
    }
    spec = PipelineSpec.from_dict(data)
    again = PipelineSpec.from_dict(spec.to_dict())
    assert again == spec and hash(again) == hash(spec) and again.digest == spec.digest


def test_a_spec_lists_all_its_problems() -> None:
    with pytest.raises(BadInput) as error:
        PipelineSpec.from_dict({"chunkr": {}, "chunker": {"fixed": {"size": 0}}, "embedder": {"modle": {}}})
    said = problems(error)
    for expected in (
        "pipeline.chunkr",
        "did you mean 'chunker'",
        "pipeline.chunker.fixed.size",
        "did you mean 'model'",
    ):
        assert expected in said
