"""Every card through every backend that can run here, on a tiny model of the card's architecture.

Vectors are held against plain transformers: a wrong prompt, pooling or norm is another vector.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from rag_opt.cli.composing import conf_folder
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.runtimes import Machine
from rag_opt.store.values import MemoryValues
from tests.servers import OpenAI, Tei, serving
from tests.tiny_models import DIMENSIONS, READS_TOKENS, Architecture, Pooling, build, reference

SEARCH = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
WITH_SPACE = SEARCH
WITHOUT_SPACE = SEARCH.rstrip(" ")
BGE = "Represent this sentence for searching relevant passages: "
# what the models' authors say, written down here once more: (architecture, pooling, query prompt, document prompt);
# where a pooling was not seen by us, the card names none, and the model's own files decide
SAID: dict[str, tuple[Architecture, Pooling, str, str]] = {
    "all_mpnet_base_v2": ("mpnet", "mean", "", ""),
    "arctic_embed_l_v2": ("xlm_roberta", "cls", "query: ", ""),
    "bge_base_en_v1_5": ("bert", "cls", BGE, ""),
    "bge_large_en_v1_5": ("bert", "cls", BGE, ""),
    "bge_m3": ("xlm_roberta", "cls", "", ""),
    "bge_small_en_v1_5": ("bert", "cls", BGE, ""),
    "e5_large_v2": ("bert", "mean", "query: ", "passage: "),
    "e5_small_v2": ("bert", "mean", "query: ", "passage: "),
    "embeddinggemma_300m": ("gemma3_text", "mean", "task: search result | query: ", "title: none | text: "),
    "granite_english_r2": ("modernbert", "cls", "", ""),
    "granite_multilingual_311m_r2": ("modernbert", "cls", "", ""),
    "granite_multilingual_97m_r2": ("modernbert", "cls", "", ""),
    "granite_small_english_r2": ("modernbert", "cls", "", ""),
    "gte_modernbert_base": ("modernbert", "cls", "", ""),
    "gte_qwen2_1_5b": ("qwen2", "last", WITH_SPACE, ""),
    "gte_qwen2_7b": ("qwen2", "last", WITH_SPACE, ""),
    "harrier_0_6b": ("qwen3", "last", WITH_SPACE, ""),
    "jina_v2_base_code": ("bert", "mean", "", ""),
    "jina_v2_base_en": ("bert", "mean", "", ""),
    "mdbr_leaf_ir": ("bert", "mean", BGE, ""),
    "minilm": ("bert", "mean", "", ""),
    "modernbert_embed_base": ("modernbert", "mean", "search_query: ", "search_document: "),
    "multilingual_e5_large_instruct": ("xlm_roberta", "mean", WITH_SPACE, ""),
    "multilingual_e5_small": ("bert", "mean", "query: ", "passage: "),
    "mxbai_embed_large_v1": ("bert", "cls", BGE, ""),
    "pubmedbert_base": ("bert", "mean", "", ""),
    "qwen3_embedding_0_6b": ("qwen3", "last", WITHOUT_SPACE, ""),
    "qwen3_embedding_4b": ("qwen3", "last", WITHOUT_SPACE, ""),
    "qwen3_embedding_8b": ("qwen3", "last", WITHOUT_SPACE, ""),
    "sfr_embedding_2_r": ("mistral", "last", WITH_SPACE, ""),
}
# their own code is needed: refused unless it is allowed (tests/models/test_refusals.py)
OWN_CODE = {
    "arctic_embed_m_v2", "codesage_small_v2", "jina_v3", "jina_v5_text_nano", "jina_v5_text_small",
    "nomic_embed_code", "nomic_embed_text_v1_5",
}  # fmt: skip
# weights of words, not vectors (tests/parts/test_sparse.py)
SPARSE = {"opensearch_sparse_doc_v3_distill", "splade_v3"}
# run by their makers, and asked by LiteLLM (tests/models/test_hosted.py)
HOSTED = {
    "cohere_embed_v4", "gemini_embedding_2", "openai_3_large", "openai_3_small", "voyage_4", "voyage_4_large",
    "voyage_4_lite",
}  # fmt: skip
SERVED = ["bge_base_en_v1_5", "e5_large_v2", "gte_qwen2_7b", "harrier_0_6b", "jina_v2_base_en", "sfr_embedding_2_r"]
SEED = {
    "intfloat/e5-large-v2": 1024,
    "Salesforce/SFR-Embedding-2_R": 4096,
    "Alibaba-NLP/gte-Qwen2-7B-instruct": 3584,
    "Alibaba-NLP/gte-Qwen2-1.5B-instruct": 1536,
    "intfloat/multilingual-e5-large-instruct": 1024,
    "jinaai/jina-embeddings-v2-base-en": 768,
    "jinaai/jina-embeddings-v2-base-code": 768,
    "BAAI/bge-base-en-v1.5": 768,
}
TEXTS = ["How do honey bees tell others where nectar is?", "The Danube flows.", "yeast", "long " * 90]
PLAIN = Machine(device="cpu", runtime="torch", document_precision="float32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Architecture, Pooling], Path]:
    built: dict[tuple[str, str], Path] = {}

    def make(architecture: Architecture, pooling: Pooling) -> Path:
        if (architecture, pooling) not in built:
            folder = tmp_path_factory.mktemp(f"{architecture}-{pooling}")
            built[architecture, pooling] = build(folder, architecture, pooling)
        return built[architecture, pooling]

    return make


def shrunk(card: EmbedderCard, folder: Path, **changes: object) -> EmbedderCard:
    """The card as it is, but for a tiny model of its kind."""
    small = {
        "path": str(folder),
        "dimensions": DIMENSIONS,
        "reads_tokens": READS_TOKENS,
        "golden": {},
        "revision": None,
    }
    here = {"backend": "sentence_transformers", "dtype": "float32"}
    return dataclasses.replace(card, **{**small, **here, **changes})  # type: ignore[arg-type]


def expected(name: str, folder: Path, purpose: str) -> np.ndarray:
    _, pooling, query, document = SAID[name]
    prompt = query if purpose == "query" else document
    return reference(folder, [prompt + text for text in TEXTS], pooling)


def test_every_card_is_tested_and_the_eight_are_there(cards: EmbedderCards) -> None:
    assert set(cards.names()) == {*SAID, *OWN_CODE, *HOSTED, *SPARSE}
    found = {card.id: card for card in map(cards.read, cards.names())}
    for model, dimensions in SEED.items():
        assert found[model].dimensions == dimensions and found[model].revision, model
    assert not found["Salesforce/SFR-Embedding-2_R"].commercial_use
    by_tei = {name for name in SAID if cards.read(name).backend == "tei"}
    assert {name for name in cards.names() if cards.read(name).custom_code} == OWN_CODE | by_tei
    jina = {name for name in OWN_CODE if name.startswith("jina")}
    assert all(cards.read(name).backend == "openai" for name in jina), "nothing here speaks to their adapters"
    assert {name for name in cards.names() if cards.read(name).backend == "litellm"} == HOSTED
    assert (conf_folder() / "space" / "seed_models.yaml").exists()


@pytest.mark.parametrize("purpose", ["query", "document"])
@pytest.mark.parametrize("name", sorted(SAID))
def test_vectors_here_are_those_of_plain_transformers(
    name: str, purpose: str, cards: EmbedderCards, tiny: Callable[[Architecture, Pooling], Path]
) -> None:
    folder = tiny(*SAID[name][:2])
    encoder = Encoder(shrunk(cards.read(name), folder), values=MemoryValues(), machine=PLAIN)
    found = encoder.vectors(TEXTS, purpose)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected(name, folder, purpose), atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("backend", ["tei", "openai"])
@pytest.mark.parametrize("name", SERVED)
def test_vectors_of_a_server_are_the_same(
    name: str, backend: str, cards: EmbedderCards, tiny: Callable[[Architecture, Pooling], Path]
) -> None:
    pooling = SAID[name][1]
    folder, card = tiny(*SAID[name][:2]), cards.read(name)
    counter = Encoder(shrunk(card, folder), values=MemoryValues()).tokenizer

    def embed(texts: Sequence[str]) -> np.ndarray:
        return reference(folder, texts, pooling)

    def tokens(text: str) -> int:
        return int(counter.lengths([text])[0])

    kind = {"model_type": {"embedding": {"pooling": "last_token" if pooling == "last" else pooling}}}
    server = Tei(card.id, embed, tokens, **kind) if backend == "tei" else OpenAI(embed, tokens)
    with serving(server):
        there = {"backend": backend, "path": None, "tokenizer": str(folder)}
        url = server.url + ("/v1" if backend == "openai" else "")
        encoder = Encoder(shrunk(card, folder, url=url, **there), values=MemoryValues())
        for purpose in ("query", "document"):
            found = encoder.vectors(TEXTS, purpose)  # type: ignore[arg-type]
            whole = expected(name, folder, purpose)
            np.testing.assert_allclose(found[:3], whole[:3], atol=2e-5)
            assert encoder.backend.cut >= 1, "what was too long was cut, and counted"
            assert float(found[3] @ whole[3]) > 0.9
        assert all(body["truncate"] is False for path, body in server.seen if path == "/embed")


def test_weights_saved_in_half_are_run_in_what_the_card_says(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = build(tmp_path, "bert", "mean")
    whole = load_file(folder / "model.safetensors")
    save_file({name: one.half() for name, one in whole.items()}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    save_file({name: one.half().float() for name, one in whole.items()}, again / "model.safetensors", {"format": "pt"})
    (again / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
    given = {"id": "tiny", "dimensions": DIMENSIONS, "reads_tokens": READS_TOKENS, "pooling": "mean"}
    encoder = Encoder(EmbedderCard(path=str(folder), **given), values=MemoryValues(), machine=PLAIN)
    np.testing.assert_allclose(encoder.vectors(TEXTS, "query"), reference(again, TEXTS, "mean"), atol=2e-6)
    assert {one.dtype for one in encoder.backend._model("query").parameters()} == {torch.float32}
    low = Encoder(EmbedderCard(path=str(folder), dtype="bfloat16", **given), values=MemoryValues(), machine=PLAIN)
    found = low.vectors(TEXTS, "query")
    assert {one.dtype for one in low.backend._model("query").parameters()} == {torch.bfloat16}
    assert float((found * reference(again, TEXTS, "mean")).sum(axis=1).min()) > 0.99
    alone = np.concatenate(
        [Encoder(low.card, values=MemoryValues(), machine=PLAIN).vectors([t], "query") for t in TEXTS]
    )
    np.testing.assert_array_equal(found, alone)  # in lower precision queries are read one by one
