from __future__ import annotations

import dataclasses
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.cost.probe import _draw_covering, _without_paid, share_of_new_answers
from tests.cli.test_overrides import prepared

SLOTS = ("chunker", "embedder", "retriever", "reranker", "packer", "generator")
SPECS = st.fixed_dictionaries({slot: st.sampled_from([{"a": {}}, {"b": {"x": 1}}]) for slot in SLOTS})


@given(SPECS, st.lists(SPECS, max_size=4))
def test_more_earlier_pipelines_leave_fewer_new_answers(
    spec: dict[str, object], earlier: list[dict[str, object]]
) -> None:
    shares = [share_of_new_answers(spec, earlier[:count]) for count in range(len(earlier) + 1)]
    assert shares[0] == 1.0 and shares == sorted(shares, reverse=True)
    assert (shares[-1] == 0.0) == (spec in earlier)


def test_other_chunks_change_more_answers_than_another_generator_or_retriever() -> None:
    spec: SpecDict = {slot: {"a": {}} for slot in SLOTS}
    other = {slot: share_of_new_answers({**spec, slot: {"b": {}}}, [spec]) for slot in SLOTS}
    assert other["chunker"] > other["generator"] > other["retriever"] > 0


def test_each_kind_that_needs_no_language_model_is_run_once_and_no_more(tmp_path: Path) -> None:
    """Kinds that ask a model are never run: waiting for them to appear measured 500 pipelines."""
    asking = ["experiment=answering", "llm.base_url=http://127.0.0.1:9/v1", "llm.model=m"]
    search = prepared(tmp_path, *asking, "pipeline.chunker.recursive.size=96").search
    search = dataclasses.replace(search, baseline=_without_paid(search.baseline.to_dict(), search.builder))
    drawn = [search.baseline.to_dict(), *(spec.to_dict() for spec in _draw_covering(search, search.builder))]
    seen = {(slot, kind) for spec in drawn for slot, part in spec.items() for kind in part}
    wanted = {(slot, kind) for slot, parts in search.space.tree.items() for kind in parts if kind != "chat"}
    assert wanted <= seen and ("generator", "chat") not in seen
    assert len(drawn) <= 3 + len(wanted)


def test_nothing_that_is_paid_is_asked_for_an_estimate(tmp_path: Path) -> None:
    search = prepared(tmp_path, "space.embedder.model.name=[minilm,voyage_4]").search
    for embedder in ("minilm", "voyage_4"):
        spec = {**search.baseline.to_dict(), "embedder": {"model": {"name": embedder}}}
        spec["reranker"] = {"hosted": {"name": "voyage_rerank_2_5"}}
        free = _without_paid(spec, search.builder)
        assert free.embedding_model == "minilm" and free.reranker.kind == "none"  # type: ignore[union-attr]  # a part
