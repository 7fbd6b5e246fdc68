"""ragas' real metrics against a judge that goes wrong: what is accepted is right, what is not is said, nothing is asked
twice, and a judge of no use stops the search.
"""

from __future__ import annotations

import functools
import json
from collections import Counter

import numpy as np
import pytest

from objectives.judging import Verdicts, request_verdicts
from rag_opt.core.errors import ModelUnusable
from rag_opt.models import http_client
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Judge
from rag_opt.store.values import MemoryValues
from tests.faulty_judge import CONNECTION, FAULTS, RETRY_AFTER_S, FaultyJudge
from tests.servers import serving


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(http_client, "_LONGEST_WAIT_S", 0.2)


SAMPLES = [
    {
        "user_input": f"What is said of number {number}?",
        "response": f"Number {number} is {'even' if number % 2 == 0 else 'odd'}. It stands alone.",
        "retrieved_contexts": [f"Number {number} is even.", "It stands alone in its row."],
    }
    for number in range(24)
]


def judge(url: str, values: MemoryValues, *, timeout_s: float = 10.0, give_up_s: float = 20.0) -> LLMClient:
    settings = Judge(
        kind="openai_compatible", base_url=f"{url}/v1", model="j", timeout_s=timeout_s, give_up_s=give_up_s
    )
    return LLMClient(settings, values, who="judge")


def faithfulness(llm_client: LLMClient, count: int = len(SAMPLES)) -> Verdicts:
    return request_verdicts("Faithfulness", {}, SAMPLES[:count], judge=llm_client, encoder=None)


@functools.cache
def undisturbed() -> Verdicts:
    with serving(FaultyJudge("500", 0)) as server:
        return faithfulness(judge(server.url, MemoryValues()))


@pytest.mark.parametrize("percent", [10, 50])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_accepted_is_right_and_nothing_is_asked_twice(fault: str, percent: int) -> None:
    values, count = MemoryValues(), 12 if percent == 50 else len(SAMPLES)
    with serving(FaultyJudge(fault, percent)) as server:
        # a busy machine may be as slow as a judge that hangs: nothing else is found by waiting
        found = faithfulness(judge(server.url, values, timeout_s=0.3 if fault == "hang" else 10.0), count)
        accepted = ~np.isnan(found.scores[:, 0])
        assert (found.scores[accepted] >= 0).all() and (found.scores[accepted] <= 1).all()
        assert [bool(why) for why in found.failures] == (~accepted).tolist(), "what has no score has a reason"
        np.testing.assert_array_equal(found.scores[accepted], undisturbed().scores[:count][accepted])
        assert accepted.mean() > (0.5 if percent == 50 else 0.95)
        times = Counter(json.dumps(body) for body in server.answered)
        assert fault == "hang" or max(times.values()) == 1, "each is answered once"
        if fault.startswith("429"):
            assert waited_for(server)
        asked = len(server.seen)
        server.percent = 0
        again = faithfulness(judge(server.url, values), count)
        np.testing.assert_array_equal(again.scores[accepted], found.scores[accepted])
        assert len(server.seen) == asked if fault not in CONNECTION or accepted.all() else True


def waited_for(server: FaultyJudge) -> bool:
    """Whether no request came back before the time that it was told."""
    told: dict[str, float] = {}
    for number, ((_, body), came) in enumerate(zip(server.seen, server.came, strict=True)):
        name = json.dumps(body)
        if name in told and came < told[name] + RETRY_AFTER_S:
            return False
        if server.plan(number) != "no":
            told[name] = came
    return bool(told)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_judge_that_is_of_no_use_stops_everything_and_says_what_to_do(fault: str) -> None:
    with serving(FaultyJudge(fault, 100)) as server:
        with pytest.raises(ModelUnusable) as stopped:
            faithfulness(
                judge(server.url, MemoryValues(), timeout_s=0.3 if fault in CONNECTION else 10.0, give_up_s=1.0)
            )
        said = str(stopped.value)
        assert "Everything that was answered is kept" in said
        assert ("Start the server" in said) if fault in CONNECTION else ("Another model" in said)
