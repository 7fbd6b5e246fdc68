"""Embedding models of a space that may take part, and notes of those that may not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from rag_opt.cli.composing import conf_folder
from rag_opt.core.errors import BadInput
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.setup.model_filters import filter_models
from rag_opt.setup.schema import EmbedderSettings
from rag_opt.study.cost.forecaster import model_names
from rag_opt.study.space.space import Space

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
