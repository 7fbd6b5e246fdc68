"""Embedding models of a space that may take part, and notes of those that may not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import optuna
import pytest
import yaml

from rag_opt.cli.composing import conf_folder
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import BadInput
from rag_opt.models.cards import common_benchmark
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.model_filters import filter_models, find_forbidden_rerankers, fit_references
from rag_opt.setup.schema import EmbedderSettings
from rag_opt.study.cost.forecaster import find_model_indexes, model_names
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.references import reference_pipelines
from rag_opt.study.samplers.cost_aware import CostAware
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, to_frozen_trial

PIPELINE = yaml.safe_load((conf_folder() / "pipeline" / "default.yaml").read_text())
SEED = Space.from_dict(
    yaml.safe_load((conf_folder() / "space" / "seed_models.yaml").read_text()), rest=PIPELINE, only={}
)


def filter_names(shelf: EmbedderCards, language: str = "en", **limits: Any) -> tuple[list[str], list[str]]:
    space, notes = filter_models(SEED, shelf, EmbedderSettings(**limits), language)
    return model_names(space), notes


def test_all_eight_seed_models_take_part_without_limits(cards: EmbedderCards) -> None:
    names, notes = filter_names(cards)
    assert len(names) == 8
    assert any("sfr_embedding_2_r: its licence CC-BY-NC-4.0 forbids commercial use" in note for note in notes)


SMALL_MODELS = Space.from_dict(
    yaml.safe_load((conf_folder() / "space" / "small_models.yaml").read_text()), rest=PIPELINE, only={}
)


def test_small_models_are_small_free_and_run_here_and_know_the_language(cards: EmbedderCards) -> None:
    found = [cards.read(name) for name in model_names(SMALL_MODELS)]
    assert len(found) == 20
    for card in found:
        assert (card.parameters_millions or 999) <= 600 and card.commercial_use and not card.custom_code, card.id
        assert card.backend == "sentence_transformers" and card.vectors == "dense", card.id
    space, notes = filter_models(SMALL_MODELS, cards, EmbedderSettings(), "de")
    german = model_names(space)
    assert len(german) == 8 and len([note for note in notes if "the documents are in de" in note]) == 12
    assert {"multilingual_e5_small", "bge_m3", "qwen3_embedding_0_6b"} <= set(german)


def test_models_are_compared_by_the_benchmark_that_most_of_them_have(cards: EmbedderCards) -> None:
    names = ["minilm", "bge_small_en_v1_5", "arctic_embed_l_v2", "granite_english_r2", "harrier_0_6b"]
    found = [cards.read(name) for name in names]
    benchmark = common_benchmark(found, "en")
    assert benchmark == "MTEB(eng, v2) retrieval"
    assert [card.published_score(benchmark) for card in found] == [42.92, 51.49, 58.56, 56.43, None]
    german = [cards.read(name) for name in ("qwen3_embedding_0_6b", "embeddinggemma_300m", "bge_base_en_v1_5")]
    assert common_benchmark(german, "de") == "MTEB(Multilingual, v2) retrieval", "of a language that fits"
    assert common_benchmark([cards.read("harrier_0_6b")], "en") == ""


def test_an_index_of_a_forbidden_model_is_found_whatever_else_is_first(cards: EmbedderCards) -> None:
    tree = {"retriever": {"sparse": {"name": "splade_v3", "top_k": [20, 5], "depth": [10, 50]}}}
    space = Space.from_dict(tree, rest=PIPELINE, only={})
    ((where, index),) = find_model_indexes(space)
    assert (where, index.name) == ("space.retriever.sparse.name", "splade_v3")
    (problem,) = find_forbidden_rerankers(space, reranker_card_library([conf_folder()]), cards)
    assert "CC-BY-NC-SA-4.0 forbids commercial use" in problem.what


@pytest.mark.parametrize(
    ("limits", "language", "left", "said"),
    [
        ({"max_parameters": 600}, "en", 5, "1,540 million parameters, embedder.max_parameters is 600"),
        ({"max_memory_gb": 2.5}, "en", 5, "14.2 GB of weights, embedder.max_memory_gb is 2.5"),
        ({"allow_non_commercial": False}, "en", 7, "its licence CC-BY-NC-4.0 forbids commercial use"),
        ({}, "de", 3, "made for en; the documents are in de"),
        ({}, "", 8, ""),
    ],
)
def test_limits_leave_models_out_with_a_note(
    cards: EmbedderCards, limits: dict[str, Any], language: str, left: int, said: str
) -> None:
    names, notes = filter_names(cards, language, **limits)
    assert len(names) == left
    assert not said or any(note.startswith("left out: the embedding model") and said in note for note in notes)


def test_limits_that_leave_no_model_are_refused(cards: EmbedderCards) -> None:
    with pytest.raises(BadInput, match=r"no model is left: .*e5_large_v2 \(335 million"):
        filter_names(cards, max_parameters=1)
    with pytest.raises(BadInput, match=r"embedder\.cards\.minilmm: there is no card .* did you mean 'minilm'"):
        filter_names(cards, cards={"minilmm": {"url": "http://x"}})


def test_every_name_without_a_card_is_listed(cards: EmbedderCards) -> None:
    space = Space.from_dict({"embedder": {"model": {"name": ["minilmm", "e5_larg_v2"]}}}, rest=PIPELINE, only={})
    with pytest.raises(BadInput) as error:
        filter_models(space, cards, EmbedderSettings(), "en")
    assert "did you mean 'minilm'" in str(error.value) and "did you mean 'e5_large_v2'" in str(error.value)


SMALL = yaml.safe_load((conf_folder() / "space" / "small.yaml").read_text())


def test_words_alone_need_no_model(cards: EmbedderCards) -> None:
    space = Space.from_dict(SMALL, rest=PIPELINE, only={"retriever": "lexical"})
    silent = dataclasses.replace(space, tree={**space.tree, "generator": {"none": {}}})
    found, notes = filter_models(silent, cards, EmbedderSettings(), "zh")
    assert model_names(found) == [] and set(found.tree["reranker"]) == {"none"}
    assert "left out: reranker.mmr" in notes[0] and "made for en; the documents are in zh" in notes[0]
    with pytest.raises(BadInput, match=r"are in zh.*only\.retriever=\[lexical\] objective=evidence_recall"):
        filter_models(space, cards, EmbedderSettings(), "zh")  # sentences of answers are compared by vectors
    with pytest.raises(BadInput, match="no model is left"):
        filter_models(Space.from_dict(SMALL, rest=PIPELINE, only={}), cards, EmbedderSettings(), "zh")
    whole = Space.from_dict(SMALL, rest=PIPELINE, only={})
    with pytest.raises(BadInput, match="no model is left"):  # nobody asked to do without vectors
        filter_models(
            dataclasses.replace(whole, tree={**whole.tree, "generator": {"none": {}}}), cards, EmbedderSettings(), "zh"
        )
    drawn = [found.draw(np.random.default_rng(seed)) for seed in range(20)]
    assert {next(iter(spec["embedder"])) for spec in drawn} == {"none"}
    assert all(found.parameters(PipelineSpec.from_dict(spec).to_dict()) is not None for spec in drawn)


def test_the_default_sampler_searches_words_alone(cards: EmbedderCards) -> None:
    space = Space.from_dict(SMALL, rest=PIPELINE, only={"retriever": "lexical", "reranker": "none"})
    space, _ = filter_models(
        dataclasses.replace(space, tree={**space.tree, "generator": {"none": {}}}), cards, EmbedderSettings(), "zh"
    )
    study, tried = optuna.create_study(direction="maximize"), set[str]()
    for number in range(24):
        found = CostAware(design=3).propose(
            space, study, seed=number, tried_digests=tried, cost_forecast=CostForecast()
        )
        assert found is not None and next(iter(found.spec["embedder"])) == "none"
        tried.add(space.identify(found.spec))
        value = float(found.spec["retriever"]["lexical"]["top_k"]) + number / 100
        if found.trial is not None:
            study.tell(found.trial, value)
        else:
            full = PipelineSpec.from_dict(found.spec).to_dict()
            study.add_trial(to_frozen_trial(Trial(number, "COMPLETE", full, "sampler", value=value), space))
    assert len(tried) == 24


def test_whether_a_kind_reads_vectors_depends_on_nothing_that_was_drawn_before() -> None:
    """A part that cannot be (top_k beyond depth) must not change what a resumed study draws."""
    own = {"retriever": {"lexical": {"top_k": 60, "depth": [50, 100]}}, "generator": {"none": {}}}
    cold, warm = (Space.from_dict(own, rest=PIPELINE, only={}) for _ in range(2))
    for seed in range(30):
        warm.draw(np.random.default_rng(seed))
    drawn = [one.draw(np.random.default_rng(99)) for one in (cold, warm)]
    assert drawn[0] == drawn[1] and not cold.kind_reads_vectors("retriever", "lexical")


KOREAN = "".join(f"제{n}조 이 법은 국민의 권리와 의무를 정하고 그 시행에 필요한 사항을 규정한다. " for n in range(40))


@pytest.mark.parametrize("language", ["ko", ""])
def test_a_model_that_does_not_fit_is_no_reference(cards: EmbedderCards, language: str) -> None:
    baseline, corpus = PipelineSpec.from_dict(PIPELINE), Corpus((Document("d", KOREAN),), language)
    ours, dense, notes = fit_references(baseline, cards, corpus, named=False)
    assert ours.retriever.kind == "lexical" and not dense and "BM25 alone" in notes[0] and "ko" in notes[0]
    assert list(reference_pipelines(ours, dense=dense)) == ["baseline", "BM25 alone"]
    assert fit_references(baseline, cards, corpus, named=True) == (baseline, True, [])
    english = Corpus((Document("d", "The law rules the rights of the people of this country."),), "en")
    assert fit_references(baseline, cards, english, named=False) == (baseline, True, [])
