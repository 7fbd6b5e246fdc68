"""A language model that fails for some questions: they have no score, the others are as they were."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_opt.cli.composing import conf_folder
from rag_opt.core.errors import ServerFailed
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import kinds
from rag_opt.evaluation.run import ScoringResources, ask
from rag_opt.evaluation.scoring import score
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_reading import load_bundle
from rag_opt.production.parity import find_differences
from rag_opt.store.artifacts import Store
from rag_opt.study.bounds import gold_context
from tests.pipeline.test_kinds import BASE
from tests.production.bundles import write_asked
from tests.scripted_writer import written
from tests.servers import ChatModel, serving

FAILS = "Danube"
_QUESTION = re.compile(r"(?:Question|question): (.*)")
PARTS: dict[str, dict[str, Any]] = {
    "generator": {"chat": {}},
    "query": {"multi_query": {}},
    "hyde": {"hyde": {"passages": 2}},
    "reranker": {"llm": {"depth": 3}},
}


class Failing(ChatModel):
    """Refuses what `fails` says; else answers."""

    def __init__(self, fails: Callable[[str], bool]) -> None:
        super().__init__(lambda message: "[2] > [1]" if "Ranking:" in message else written(message))
        self.fails = fails

    def answer(self, path: str, body: Any) -> Any:
        if self.fails(_QUESTION.search(body["messages"][-1]["content"])[1]):  # type: ignore[index]  # all have one
            return 400, {"error": {"message": "context length exceeded"}}, {}
        return super().answer(path, body)


def new_builder(folder: Path, dataset: Dataset, url: str) -> PipelineBuilder:
    model = LanguageModel(kind="openai_compatible", base_url=f"{url}/v1", model="m")
    folders = [conf_folder()]
    return PipelineBuilder(
        dataset.corpus,
        Store(folder),
        embedder_card_library(folders),
        language_model=model,
        prompts=prompt_library(folders),
    )


@pytest.mark.parametrize("slot", PARTS)
def test_a_question_that_fails_has_no_score_and_is_asked_again(slot: str, dataset: Dataset, tmp_path: Path) -> None:
    changed = {"query" if slot == "hyde" else slot: PARTS[slot]}
    spec = PipelineSpec.from_dict({**BASE, **changed})
    with serving(Failing(lambda text: FAILS in text)) as server:
        builder = new_builder(tmp_path / "store", dataset, server.url)
        run = ask(builder.pipeline(spec), dataset.questions)
        failed = [bool(why) for why in run.responses.usage.failed]
        assert failed == [FAILS in question.text for question in dataset.questions], run.responses.usage.failed
        assert "context length exceeded" in next(filter(None, run.responses.usage.failed))
        for kind in ("refusals", "evidence", "batch_time", "grounded_answer"):
            scores = score(kinds("objective")[kind](), run, ScoringResources(builder.encoder), builder.store.values)
            assert all(np.isnan(column[failed]).all() for column in scores.values())
        server.fails = lambda text: False
        again = ask(builder.pipeline(spec), dataset.questions)
        assert not any(again.responses.usage.failed)
        kept = [row for row, one in enumerate(failed) if not one]
        assert [again.row_digests[row] for row in kept] == [run.row_digests[row] for row in kept]
        builder.close()


def test_a_bundle_says_that_it_cannot_answer_and_is_not_held_against_what_failed(
    dataset: Dataset, tmp_path: Path
) -> None:
    spec = PipelineSpec.from_dict({**BASE, "generator": {"chat": {}}})
    with serving(Failing(lambda text: FAILS in text)) as server:
        builder = new_builder(tmp_path / "store", dataset, server.url)
        stored = write_asked(tmp_path / "bundle", builder, spec, dataset.questions)
        assert 0 < len(stored) < len(dataset.questions), "what failed is not stored"
        bundle = load_bundle(tmp_path / "bundle")
        assert find_differences(bundle, stored) == []
        with pytest.raises(ServerFailed, match="context length exceeded"):
            bundle.ask("Into which sea does the Danube flow?")
        builder.close()


def test_with_the_evidence_as_context_nothing_is_retrieved(dataset: Dataset, tmp_path: Path) -> None:
    spec = PipelineSpec.from_dict({**BASE, "generator": {"chat": {}}})
    with serving(ChatModel(written)) as server:
        builder = new_builder(tmp_path / "store", dataset, server.url)
        pipeline = builder.pipeline(spec)
        given = [gold_context(question) for question in dataset.questions]
        best = pipeline.answer(dataset.questions, given)
        for question, answer, spans in zip(dataset.questions, best.answers, given, strict=True):
            assert answer.text == "I do not know." or answer.text in " ".join(map(dataset.corpus.text, spans))
            assert bool(spans) == question.answerable
        none = pipeline.answer(dataset.questions, [()] * len(given), generator=spec.generator.closed_book())
        assert all(answer.refused for answer in none.answers) and not none.context_tokens.any()
        builder.close()
