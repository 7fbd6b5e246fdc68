"""Services that their makers run, asked by LiteLLM in their makers' own forms; all of it on loopback."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from rag_opt.core.errors import BudgetSpent, ServerDown, ServerFailed
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.litellm_transport import _refuse
from rag_opt.models.llm.budget import Budget, BudgetTracker
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import LanguageModel, Request
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.parts.rerankers.hosted import HostedReranker
from rag_opt.store.values import MemoryValues
from tests.model_resources import resources_of
from tests.servers import Makers, serving, vectors_of_makers

litellm = pytest.importorskip("litellm")
KEY = "s3cret-key-of-a-maker"


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Makers]:
    monkeypatch.setenv("MAKERS_KEY", KEY)
    with serving(Makers()) as server:
        yield server


def there(card: EmbedderCard, server: Makers) -> EmbedderCard:
    return dataclasses.replace(card, url=server.url, key_variable="MAKERS_KEY", dimensions=4, matryoshka=[])


SENT = {  # model as its maker knows it, and where its texts are; what sets a query apart from a document
    "cohere_embed_v4": ("embed-v4.0", ["texts"], ("input_type", "search_query", "search_document")),
    "voyage_4_lite": ("voyage-4-lite", ["input"], ("input_type", "query", "document")),
    "openai_3_small": ("text-embedding-3-small", ["input"], None),
    "openai_3_large": ("text-embedding-3-large", ["input"], None),
}


@pytest.mark.parametrize("name", sorted(SENT))
def test_a_service_is_asked_in_its_own_form_and_told_what_a_text_is(
    name: str, cards: EmbedderCards, makers: Makers
) -> None:
    card, (model, texts, typed) = there(cards.read(name), makers), SENT[name]
    encoder = Encoder(card, values=MemoryValues())
    for purpose in ("query", "document"):
        found = encoder.vectors(["bees", "a longer text"], purpose)  # type: ignore[arg-type]
        expected = np.array(vectors_of_makers(["a longer text", "bees"][::-1]))
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-6)
    for (_, body), headers, place in zip(makers.seen, makers.headers, (1, 2), strict=True):
        assert body["model"] == model and sorted(body[texts[0]]) == ["a longer text", "bees"]
        assert {name.lower(): value for name, value in headers.items()}["authorization"] == f"Bearer {KEY}"
        assert typed is None or body[typed[0]] == typed[place]
    assert encoder.keys(["bees"], "query") != encoder.keys(["bees"], "document")
    assert encoder.vectors(["bees"], "query").shape == (1, 4) and len(makers.seen) == 2, "stored"


def test_gemini_is_told_by_a_text_before_the_text(cards: EmbedderCards, makers: Makers) -> None:
    encoder = Encoder(there(cards.read("gemini_embedding_2"), makers), values=MemoryValues())
    encoder.vectors(["bees"], "query"), encoder.vectors(["bees"], "document")
    said = [body["requests"][0]["content"]["parts"][0]["text"] for _, body in makers.seen]
    assert said == ["task: search result | query: bees", "title: none | text: bees"]


def test_a_deployment_of_ones_own_is_asked_at_its_address(makers: Makers) -> None:
    azure = {"backend": "litellm", "served_as": "azure/mine", "url": makers.url, "key_variable": "MAKERS_KEY"}
    card = EmbedderCard(id="mine", dimensions=4, reads_tokens=512, tokenizer="qwen", **azure)  # type: ignore[arg-type]
    Encoder(card, values=MemoryValues()).vectors(["bees"], "document")
    assert makers.seen[0][0].startswith("/openai/deployments/mine/embeddings") and makers.headers[0]["api-key"] == KEY


def test_calls_are_booked_by_the_tokens_that_are_billed_and_a_cap_ends_them(
    cards: EmbedderCards, makers: Makers
) -> None:
    card = dataclasses.replace(there(cards.read("voyage_4"), makers), usd_per_million_tokens=100_000.0, most_texts=1)
    tracker = BudgetTracker(Budget(usd=2.5))
    encoder = Encoder(card, values=MemoryValues(), budget_tracker=tracker)
    encoder.vectors(["bees"], "document")
    usage = tracker.by_who["embedder"]
    assert (usage.calls, usage.input_tokens, usage.usd) == (1, 11, pytest.approx(1.1))
    with pytest.raises(BudgetSpent, match=r"budget.usd=2.5"):
        encoder.vectors([f"a longer text, number {number}" for number in range(9)], "document")
    assert tracker.total.usd <= 2.5 + 1.1 and len(makers.seen) <= 4, "no cap is passed by more than one call"


def test_a_busy_service_is_asked_again_and_a_refusal_never_shows_the_key(cards: EmbedderCards, makers: Makers) -> None:
    encoder = Encoder(there(cards.read("voyage_4"), makers), values=MemoryValues())
    makers.faults.append((429, {"detail": "slow down"}, {}))
    assert encoder.vectors(["bees"], "document").shape == (1, 4)
    makers.faults.append((401, {"detail": f"wrong key {KEY}"}, {}))
    with pytest.raises(ServerDown, match="401") as refused:
        encoder.vectors(["wasps"], "document")
    assert KEY not in str(refused.value)


def test_a_missing_key_is_said_at_once(makers: Makers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOYAGE_API_KEY", raising=False)
    shelf = CardLibrary(RerankerCard, "reranker.name", ())
    shelf._cards["voyage"] = RerankerCard(
        id="v", served_as="voyage/rerank-2.5", hosted=True, url=makers.url, reads_tokens=4096
    )
    resources = resources_of(shelf)
    with pytest.raises(ServerDown, match=r"answered 401: .*VOYAGE_API_KEY"):
        HostedReranker(name="voyage").scorer(resources).scores([("q", "a")])


def test_a_hosted_reranker_orders_and_is_booked(makers: Makers) -> None:
    tracker = BudgetTracker()
    facts: dict[str, Any] = {"reads_tokens": 4096, "hosted": True, "url": makers.url, "key_variable": "MAKERS_KEY"}
    shelf = CardLibrary(RerankerCard, "reranker.name", ())
    shelf._cards["voyage"] = RerankerCard(
        id="v", served_as="voyage/rerank-2.5", usd_per_million_tokens=50_000.0, **facts
    )
    shelf._cards["cohere"] = RerankerCard(id="c", served_as="cohere/rerank-v4.0-fast", **facts)
    resources = resources_of(shelf, budget_tracker=tracker)
    for name, model in (("voyage", "rerank-2.5"), ("cohere", "rerank-v4.0-fast")):
        scorer = HostedReranker(name=name).scorer(resources)
        assert scorer.scores([("q", "aa"), ("q", "b"), ("other", "ccc")]).tolist() == [2.0, 1.0, 3.0]
        assert makers.seen[-1][1]["model"] == model
    assert tracker.by_who["reranker"].usd == pytest.approx(2 * 9 * 0.05) and tracker.by_who["reranker"].calls == 4, (
        "a question each; without a price they are calls all the same"
    )
    makers.faults.append((200, {"results": [], "id": "r", "meta": {}}, {}))
    with pytest.raises(ServerFailed, match="gave no score for each of 1 texts"):
        HostedReranker(name="cohere").scorer(resources).scores([("q", "a")])


def test_what_is_not_answered_in_time_may_be_billed_and_a_lost_connection_is_not(
    cards: EmbedderCards, makers: Makers
) -> None:
    priced = {"usd_per_million_tokens": 100_000.0, "most_texts": 1}
    tracker = BudgetTracker()
    encoder = Encoder(
        dataclasses.replace(there(cards.read("voyage_4"), makers), **priced),  # type: ignore[arg-type]
        values=MemoryValues(),
        budget_tracker=tracker,
    )
    makers.faults.append((200, "no JSON at all", {}))
    assert encoder.vectors(["bees"], "document").shape == (1, 4)
    assert tracker.total.calls == 2 and tracker.total.usd > 1.1, "the reply that nobody could read counts at its most"
    with pytest.raises(httpx.ReadTimeout):
        _refuse(litellm.Timeout("late", model="m", llm_provider="p"))
    refused = _refuse(litellm.InternalServerError("Missing credentials: pass an `api_key`", "p", "m"))
    assert refused.status_code == 401


def test_a_language_model_is_asked_in_its_makers_form_counted_and_stored(makers: Makers) -> None:
    settings = LanguageModel(
        kind="litellm",
        model="anthropic/claude-sonnet-4-5",
        base_url=makers.url,
        key_variable="MAKERS_KEY",
        usd_per_million_input_tokens=3.0,
        usd_per_million_output_tokens=15.0,
    )
    tracker, values = BudgetTracker(), MemoryValues()
    request = Request([{"role": "system", "content": "Answer."}, {"role": "user", "content": "what is 6 x 7?"}])
    for _ in range(2):
        (completion,) = LLMClient(settings, values, budget_tracker=tracker).complete([request])
        assert completion.text == "forty-two" and (completion.input_tokens, completion.output_tokens) == (5, 2)
    ((path, body),) = makers.seen
    assert path == "/v1/messages" and body["messages"][0]["content"][0]["text"] == "what is 6 x 7?"
    assert tracker.total.usd == pytest.approx((5 * 3 + 2 * 15) / 1e6)


def test_what_requests_share_is_marked_where_a_service_wants_that_and_counted_as_cheaper(makers: Makers) -> None:
    prices = {"usd_per_million_input_tokens": 3.0, "usd_per_million_cached_tokens": 0.3}
    named = {"base_url": makers.url, "key_variable": "MAKERS_KEY"}
    messages = [{"role": "user", "content": "A long document. What does it say?"}]
    for model in ("anthropic/claude-sonnet-4-5", "openai/gpt-5"):
        settings = LanguageModel(kind="litellm", model=model, **prices, **named)  # type: ignore[arg-type]
        tracker = BudgetTracker()
        makers.faults.append(CACHED if "claude" in model else CACHED_OPENAI)
        client = LLMClient(settings, MemoryValues(), budget_tracker=tracker)
        (completion,) = client.complete([Request(messages, shared_characters=17)])
        assert (completion.input_tokens, completion.cached_tokens) == (105, 100)
        assert tracker.total.usd == pytest.approx((5 * 3.0 + 100 * 0.3) / 1e6)
    marked, plain = (body["messages"][0]["content"] for _, body in makers.seen)
    assert [one.get("cache_control") for one in marked] == [{"type": "ephemeral"}, None]
    assert "".join(one["text"] for one in marked) == messages[0]["content"]
    assert plain == messages[0]["content"], "others cache by themselves"


_SAID = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "yes"}]}
_USED = {"input_tokens": 5, "output_tokens": 0, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0}
CACHED = (200, {"id": "m", "model": "claude", "stop_reason": "end_turn", "usage": _USED, **_SAID}, {})
_MESSAGE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
_DETAILS = {"prompt_tokens": 105, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 100}}
CACHED_OPENAI = (
    200,
    {"id": "c", "object": "chat.completion", "model": "gpt", "choices": [_MESSAGE], "usage": _DETAILS},
    {},
)
