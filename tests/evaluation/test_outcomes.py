"""What became of a question: the first step at which it went wrong."""

from __future__ import annotations

import pytest

from rag_opt.evaluation.outcomes import OUTCOMES, Outcome, find_outcome

_ROW = {
    "answerable": True, "refused": False, "failed": "", "places/in_context": 1.0, "places/in_list": 1.0,
    "places/list_rank": 2.0, "places/in_one_chunk": 1.0, "places/lost": 0.0,
}  # fmt: skip
_AWAY = {"places/in_context": 0.0}


@pytest.mark.parametrize(
    ("changes", "value", "outcome"),
    [
        ({}, 0.95, "good"),
        ({}, 0.6, "good"),
        ({}, 0.3, "answered wrongly"),
        ({"refused": True}, 0.0, "refused wrongly"),
        ({"answerable": False}, 0.0, "answered though unanswerable"),
        ({"answerable": False, "refused": True}, 1.0, "good"),
        ({"failed": "timed out"}, 0.0, "not scored"),
        ({}, None, "not scored"),
        ({**_AWAY}, 0.95, "good"),  # answered well without it
        ({**_AWAY, "places/lost": 0.5}, 0.1, "evidence lost by the reader"),
        ({**_AWAY, "places/in_list": 0.5, "places/in_one_chunk": 0.6}, 0.1, "evidence cut apart"),
        ({**_AWAY, "places/in_list": 0.0}, 0.1, "evidence not retrieved"),
        ({**_AWAY, "places/list_rank": 9.0}, 0.1, "evidence ranked too low"),
        ({**_AWAY, "places/list_rank": 5.0}, 0.1, "evidence cut by the budget"),
        ({**dict.fromkeys([name for name in _ROW if name.startswith("places/")])}, 0.1, "answered wrongly"),
    ],
)
def test_an_outcome_is_the_first_step_that_went_wrong(
    changes: dict[str, object], value: float | None, outcome: Outcome
) -> None:
    assert find_outcome({**_ROW, **changes}, value=value, top_k=5) == outcome
    assert outcome in OUTCOMES
