from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest

from rag_opt.core.errors import BadInput, ModelRefused
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.remote_code import refuse_unsafe
from rag_opt.parts.embedders.model import with_dimensions
from rag_opt.store.artifacts import Store
from rag_opt.store.values import MemoryValues

TEXTS = ["A cat sat.", "Dogs bark at night.", "A cat sat.", "x" * 3000, ""]


def test_each_input_is_encoded_once_and_order_does_not_matter(cards: EmbedderCards) -> None:
    encoder = Encoder(cards.read("minilm"), values=MemoryValues())
    first = encoder.vectors(TEXTS, "document")
    assert encoder.encoded == 4
    again = encoder.vectors(TEXTS[::-1], "document")
    assert encoder.encoded == 4
    np.testing.assert_array_equal(first, again[::-1])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)


def test_vectors_are_those_of_sentence_transformers(cards: EmbedderCards) -> None:
    from sentence_transformers import SentenceTransformer

    card = cards.read("minilm")
    theirs = SentenceTransformer(str(card.folder), device="cpu").encode(TEXTS[:2], normalize_embeddings=True)
    ours = Encoder(card, values=MemoryValues()).vectors(TEXTS[:2], "query")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_cut_variant_shares_the_stored_vectors(cards: EmbedderCards) -> None:
    values = MemoryValues()
    whole, cut = (Encoder(with_dimensions(cards.read("minilm"), n), values=values) for n in (None, 128))
    full, short = whole.vectors(TEXTS, "document"), cut.vectors(TEXTS, "document")
    assert cut.encoded == 0 and short.shape == (5, 128)
    expected = full[:, :128] / np.linalg.norm(full[:, :128], axis=1, keepdims=True)
    np.testing.assert_allclose(short, expected, atol=1e-6)
    assert whole.vectors_key != cut.vectors_key


def test_a_prompt_changes_the_vector_and_its_key(cards: EmbedderCards) -> None:
    values = MemoryValues()
    plain = cards.read("minilm")
    prompted = EmbedderCard(**{**plain.__dict__, "query_prompt": "query: ", "golden": {}})
    asked = Encoder(prompted, values=values).vectors(["cats"], "query")
    spelled = Encoder(plain, values=values).vectors(["query: cats"], "query")
    np.testing.assert_allclose(asked, spelled, atol=1e-6)
    assert not np.allclose(asked, Encoder(plain, values=values).vectors(["cats"], "query"), atol=1e-3)


def test_vectors_survive_the_process(tmp_path: Path, cards: EmbedderCards) -> None:
    store = Store(tmp_path)
    made = Encoder(cards.read("minilm"), values=store.values).vectors(TEXTS, "document")
    store.close()
    again = Encoder(cards.read("minilm"), values=Store(tmp_path).values)
    np.testing.assert_array_equal(again.vectors(TEXTS, "document"), made)
    assert again.encoded == 0


def test_a_model_with_another_width_than_its_card_is_refused(cards: EmbedderCards) -> None:
    wrong = EmbedderCard(**{**cards.read("minilm").__dict__, "dimensions": 512})
    with pytest.raises(ModelRefused, match="384 dimensions; its card says 512"):
        Encoder(wrong, values=MemoryValues()).vectors(["a"], "query")


def test_custom_code_and_pickled_weights_are_refused(tmp_path: Path, cards: EmbedderCards) -> None:
    folder = tmp_path / "model"
    shutil.copytree(cards.read("minilm").folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelRefused, match="safetensors"):
        refuse_unsafe(folder)
    configuration = orjson.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_bytes(orjson.dumps({**configuration, "auto_map": {"AutoModel": "x.Y"}}))
    with pytest.raises(ModelRefused, match="custom code"):
        refuse_unsafe(folder)


def test_an_unknown_card_names_the_nearest(cards: EmbedderCards) -> None:
    with pytest.raises(BadInput, match="did you mean 'minilm'"):
        cards.read("minilmm")
