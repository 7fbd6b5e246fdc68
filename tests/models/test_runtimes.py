from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.errors import ModelRefused
from rag_opt.models import loaded_models, runtimes
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.loaded_models import load_embedder, run_in_halves
from rag_opt.models.runtimes import Library, Machine, ModelFiles, Precision, Runtime, decide
from rag_opt.store.values import MemoryValues

TEXTS = [f"Text number {number} says something else about rivers and bread. " * (number % 7 + 1) for number in range(8)]
PLAIN = Machine(device="cpu", runtime="torch", document_precision="float32")


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_runtime_holds_the_vectors_of_plain_torch(runtime: str, precision: str, cards: EmbedderCards) -> None:
    pytest.importorskip(runtime)
    card = cards.read("minilm")
    if runtime == "openvino" and precision == "bfloat16" and not runtimes._has_bfloat16():
        pytest.skip("this processor has no bfloat16: see below")
    machine = Machine(device="cpu", runtime=runtime, document_precision=precision)  # type: ignore[arg-type]
    ours, plain = (Encoder(card, values=MemoryValues(), machine=one) for one in (machine, PLAIN))
    cosine = (ours.vectors(TEXTS, "document") * plain.vectors(TEXTS, "document")).sum(axis=1)
    assert cosine.min() > (0.999 if precision == "bfloat16" else 0.99999)
    model = load_embedder(ModelFiles(card.folder, card.reads_tokens, card.pooling), ours.runtime)
    assert (type(model[0].model).__name__ == "OpenVinoModel") == (runtime == "openvino")  # no silent fallback
    # whatever encodes documents, queries and sentences are those of plain torch
    np.testing.assert_array_equal(ours.vectors(TEXTS, "query"), plain.vectors(TEXTS, "query"))
    assert (ours.vectors_key == plain.vectors_key) == (machine == PLAIN)


@pytest.mark.parametrize(
    ("facts", "pays"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile", True),
        ("flags\t\t: fpu avx512f avx512_bf16", False),  # adds up pairs: at most twice as fast
        ("flags\t\t: fpu avx2", False),
        ("Features\t: fp asimd bf16 i8mm", False),
        ("", False),  # no Linux
    ],
)
def test_a_processor_that_multiplies_bfloat16_is_known_by_its_flags(facts: str, pays: bool) -> None:
    assert runtimes._bfloat16_pays(facts) is pays


def test_nothing_is_timed_to_choose_a_runtime(cards: EmbedderCards) -> None:
    values = MemoryValues()
    first = decide(Machine(device="cpu"), cards.read("minilm"), values)
    assert first.precision == ("bfloat16" if runtimes._bfloat16_pays() else "float32")
    assert values.computed == {} and first.exact == Runtime("cpu", "torch", "float32")


def test_a_runtime_that_is_not_installed_is_refused(cards: EmbedderCards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelRefused, match=r"openvino is not installed; pip install openvino$"):
        decide(Machine(device="cpu", runtime="openvino"), cards.read("minilm"), MemoryValues())


def test_openvino_is_refused_where_it_would_quietly_compute_in_another_precision(
    cards: EmbedderCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    card, asked = cards.read("minilm"), Machine(device="cpu", runtime="openvino", document_precision="bfloat16")
    monkeypatch.setattr(runtimes, "_processor_facts", lambda: "flags : fpu avx512f avx512bw")
    with pytest.raises(ModelRefused, match=r"document_precision=bfloat16: this processor has no instructions"):
        decide(asked, card, MemoryValues())
    monkeypatch.setattr(runtimes, "_processor_facts", lambda: "flags : fpu avx512f avx512_bf16")
    assert decide(asked, card, MemoryValues()) == Runtime("cpu", "openvino", "bfloat16")


@pytest.mark.parametrize(
    ("library", "precision", "setting", "refusal"),
    [
        ("torch", "bfloat16", {}, ""),
        ("torch", "float32", {}, ""),
        ("openvino", "float32", {"runtime": "openvino", "document_precision": "float32"}, ""),
        ("openvino", "bfloat16", {}, "the study encodes documents in bfloat16 by openvino: this processor has no"),
        ("torch", "float32", {"runtime": "openvino"}, "runtime=openvino would mix two kinds of vectors"),
        ("torch", "bfloat16", {"document_precision": "float32"}, "document_precision=float32 would mix two kinds"),
        ("openvino", "float32", {"device": "cuda"}, "which does not run on device=cuda"),
    ],
)
def test_a_study_that_goes_on_keeps_its_runtime_or_says_that_it_cannot(
    cards: EmbedderCards,
    monkeypatch: pytest.MonkeyPatch,
    library: Library,
    precision: Precision,
    setting: dict[str, str],
    refusal: str,
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(runtimes, "_processor_facts", lambda: "flags : fpu avx2")
    card = cards.read("minilm")
    machine = Machine(kept={card.id: {"library": library, "precision": precision}}, **setting)  # type: ignore[arg-type]
    if refusal:
        with pytest.raises(ModelRefused, match=refusal):
            decide(machine, card, MemoryValues())
    else:
        assert decide(machine, card, MemoryValues()).record == {"library": library, "precision": precision}


def test_a_model_that_cannot_be_exported_runs_on_torch(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer as Words
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Words(WordLevel({word: number for number, word in enumerate(["[UNK]", "bread", "rivers"])}, "[UNK]"))
    words.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    weights = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(words, embedding_weights=weights)]).save_pretrained(str(tmp_path))
    model = load_embedder(ModelFiles(tmp_path, 64), Runtime("cpu", "openvino", "bfloat16"))
    np.testing.assert_allclose(model.encode(["bread"])[0], weights[1], rtol=1e-6)


@given(count=st.integers(1, 40), fits=st.integers(1, 40))
def test_a_batch_that_does_not_fit_is_halved(count: int, fits: int) -> None:
    import torch

    seen: list[int] = []

    def run(texts: Sequence[str]) -> list[str]:
        if len(texts) > fits:
            raise torch.OutOfMemoryError("not this many")
        seen.append(len(texts))
        return [text.upper() for text in texts]

    texts = [f"t{number}" for number in range(count)]
    assert run_in_halves(run, texts) == [text.upper() for text in texts]
    assert max(seen) <= fits


def test_another_error_than_memory_is_not_tried_again() -> None:
    calls: list[int] = []

    def run(texts: Sequence[str]) -> list[str]:
        calls.append(len(texts))
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run_in_halves(run, ["a", "b"])
    assert calls == [2]


def test_models_used_longest_ago_make_room(monkeypatch: pytest.MonkeyPatch, cards: EmbedderCards) -> None:
    folder, here = cards.read("minilm").folder, Runtime("cpu")
    elsewhere = (ModelFiles(folder, 64), Runtime("cuda"), "embedder")
    monkeypatch.setattr(loaded_models, "_LOADED", OrderedDict({elsewhere: (None, 10)}))
    monkeypatch.setattr(loaded_models, "_most_bytes", lambda device: 1)
    load_embedder(ModelFiles(folder, 64), here)
    kept = load_embedder(ModelFiles(folder, 128), here)
    assert next(iter(loaded_models._LOADED)) == elsewhere, "what lies on another device makes no room here"
    del loaded_models._LOADED[elsewhere]
    assert [key[0].reads_tokens for key in loaded_models._LOADED] == [128], (
        "even one that is larger than all may be is kept alone"
    )
    monkeypatch.setattr(loaded_models, "_most_bytes", lambda device: 10**12)
    load_embedder(ModelFiles(folder, 64), here)
    assert load_embedder(ModelFiles(folder, 128), here) is kept and [
        key[0].reads_tokens for key in loaded_models._LOADED
    ] == [
        64,
        128,
    ]
