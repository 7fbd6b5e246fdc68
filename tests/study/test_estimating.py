from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.cost.probe import share_of_new_answers

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
