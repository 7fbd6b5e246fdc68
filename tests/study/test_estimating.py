from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag_opt.study.cost.probe import unlike

SLOTS = ("chunker", "embedder", "retriever", "reranker", "packer", "generator")
SPECS = st.fixed_dictionaries({slot: st.sampled_from([{"a": {}}, {"b": {"x": 1}}]) for slot in SLOTS})


@given(SPECS, st.lists(SPECS, max_size=4))
def test_the_more_was_tried_the_less_is_new(spec: dict[str, object], earlier: list[dict[str, object]]) -> None:
    shares = [unlike(spec, earlier[:count]) for count in range(len(earlier) + 1)]
    assert shares[0] == 1.0 and shares == sorted(shares, reverse=True)
    assert (shares[-1] == 0.0) == (spec in earlier)


def test_other_chunks_say_more_that_is_new_than_other_cuts() -> None:
    spec = {slot: {"a": {}} for slot in SLOTS}
    other = {slot: unlike({**spec, slot: {"b": {}}}, [spec]) for slot in SLOTS}
    assert other["chunker"] > other["generator"] > other["retriever"] > 0
