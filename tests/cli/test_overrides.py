"""What a person can write on the command line, row by row, through Hydra and our own checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from rag_opt.cli.composing import conf_folder
from rag_opt.core.errors import BadInput
from rag_opt.setup.prepare import Prepared, prepare
from rag_opt.study.space.domains import Choice, Range
from tests.conftest import tiny_overrides, write_tiny


def composed(overrides: list[str]) -> dict[str, Any]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        plain = OmegaConf.to_container(compose("search", overrides), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def prepared(tmp_path: Path, *overrides: str) -> Prepared:
    """Prepare a search of the tiny data set, unless another is given: it is read in no time."""
    if not any(override.startswith("dataset=") for override in overrides):
        given = tmp_path.parent / "tiny"
        overrides = (*(tiny_overrides(given) if given.exists() else write_tiny(given)), *overrides)
    made = prepare(composed([f"outputs={tmp_path}", *overrides]), conf_folders=[conf_folder()])
    made.search.builder.store.close()
    return made


def domain(made: Prepared, slot: str, kind: str, name: str) -> Choice | Range:
    found: Choice | Range = made.search.space.tree[slot][kind][name]
    return found


ROWS: list[tuple[str, list[str], Any]] = [
    (
        "scalar",
        ["space.chunker.recursive.size=128"],
        lambda p: domain(p, "chunker", "recursive", "size") == Choice((128,)),
    ),
    (
        "list",
        ["space.chunker.recursive.size=[64,128]"],
        lambda p: domain(p, "chunker", "recursive", "size") == Choice((64, 128)),
    ),
    (
        "range replaces the old one, step and all",
        ["space.chunker.recursive.size=64..200"],
        lambda p: domain(p, "chunker", "recursive", "size") == Range(64, 200),
    ),
    (
        "range with a step",
        ["space.retriever.weighted.weight=0.2..0.8:0.2"],
        lambda p: domain(p, "retriever", "weighted", "weight") == Range(0.2, 0.8, 0.2),
    ),
    (
        "logarithmic range",
        ["space.retriever.rrf.k=1..100:log"],
        lambda p: domain(p, "retriever", "rrf", "k") == Range(1, 100, None, True),
    ),
    (
        "a kind removed",
        ["space.chunker.fixed=null"],
        lambda p: list(p.search.space.tree["chunker"]) == ["recursive", "sentence"],
    ),
    (
        "a kind added",
        ["+space.packer={ranked: {context_tokens: [500, 1500]}}"],
        lambda p: "ranked" in p.search.space.tree["packer"],
    ),
    ("only, a list", ["only.chunker=[sentence]"], lambda p: list(p.search.space.tree["chunker"]) == ["sentence"]),
    ("only, a name", ["only.retriever=rrf"], lambda p: list(p.search.space.tree["retriever"]) == ["rrf"]),
    ("forbid", ["space.forbid=[{chunker: sentence, reranker: mmr}]"], lambda p: len(p.search.space.forbid) == 1),
    (
        "experiment",
        ["experiment=quick"],
        lambda p: p.search.trials == 12 and list(p.search.space.tree["chunker"]) == ["sentence"],
    ),
    ("trials", ["study.trials=7"], lambda p: p.search.trials == 7),
    ("seed", ["study.seed=9"], lambda p: p.search.seed == 9),
    ("name", ["study.name=mine"], lambda p: p.search.folder.name == "mine"),
    ("sampler", ["sampler=random"], lambda p: p.search.sampler.kind == "random"),
    ("sampler setting", ["sampler.cost_aware.design=4"], lambda p: p.search.sampler.design == 4),
    ("a sweep proposes", ["sampler.sweep=on"], lambda p: p.search.sweep),
    ("plain Optuna", ["sampler.sweep=off"], lambda p: not p.search.sweep),
    ("sweeps are the default", [], lambda p: p.search.sweep and p.search.sampler.kind == "cost_aware"),
    ("racing", ["study.racing=on"], lambda p: p.search.races),
    ("no race where no model is called", [], lambda p: not p.search.races),
    (
        "several objectives",
        ["objective=evidence_recall", "+objective.against.context_tokens={}"],
        lambda p: p.search.objective_set.directions == ("maximize", "minimize"),
    ),
    (
        "runtime",
        ["runtime=torch", "document_precision=float32"],
        lambda p: p.search.builder.machine.runtime == "torch",
    ),
    ("objective", ["objective=evidence_recall"], lambda p: p.search.objective_set.optimised.kind == "evidence_recall"),
    (
        "objective setting",
        ["objective.auto.grounded_answer.price_per_1000_tokens=0.2"],
        lambda p: p.search.objective_set.optimised.price_per_1000_tokens == 0.2,
    ),
    (
        "objective by hand",
        ["objective.optimise={evidence_recall: {price_per_1000_tokens: 0.0}}"],
        lambda p: p.search.objective_set.optimised.kind == "evidence_recall",
    ),
    ("pipeline setting", ["pipeline.retriever.rrf.top_k=3"], lambda p: p.search.baseline.retriever.top_k == 3),
    ("baseline by name", ["baseline=default"], lambda p: p.search.baseline.retriever.kind == "rrf"),
    ("share", ["study.search_share=1.0"], lambda p: not p.held_out),
    ("tracking", ["tracking=none"], lambda p: not p.settings.tracking.enabled),
]


@pytest.mark.parametrize(("overrides", "holds"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_override_table(tmp_path: Path, overrides: list[str], holds: Any) -> None:
    assert holds(prepared(tmp_path, *overrides))


def test_the_default_objective_is_the_first_that_the_data_feeds(tmp_path: Path, tiny_files: list[str]) -> None:
    made = prepared(tmp_path / "a", *tiny_files)
    assert made.search.objective_set.optimised.kind == "grounded_answer"
    path = Path(tiny_files[2].partition("=")[2])
    path.write_text(path.read_text().replace('"answer":', '"kind":'))
    made = prepared(tmp_path / "b", *tiny_files)
    assert made.search.objective_set.optimised.kind == "evidence_recall"
    assert any("objective: evidence_recall, the first of grounded_answer" in note for note in made.notes)
    assert any("not grounded_answer: 8 of 10 questions have no reference answer" in note for note in made.notes)
    with pytest.raises(BadInput, match="8 of 10 questions have no reference answer: bees-1"):
        prepared(tmp_path / "c", *tiny_files, "objective=grounded_answer")


def test_a_question_that_lacks_something_disables_nothing_for_the_others(tmp_path: Path, tiny_files: list[str]) -> None:
    path = Path(tiny_files[2].partition("=")[2])
    lines = path.read_text().splitlines()
    lines[0] = lines[0].replace('"answer":', '"kind":')  # one of the answerable ones
    path.write_text("\n".join(lines))
    made = prepared(tmp_path / "a", *tiny_files)
    assert made.search.objective_set.optimised.kind == "grounded_answer"
    assert any("scored on 9 of 10 questions: 1 of 10 questions have no reference answer" in one for one in made.notes)
    with pytest.raises(BadInput, match="1 of 10 questions have no reference answer"):
        prepared(tmp_path / "b", *tiny_files, "objective=grounded_answer", "objective.min_share=1.0")


def test_all_problems_of_settings_and_data_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        prepared(
            tmp_path, "dataset=folder", "space.chunker.fixed.size=0", "only.reranker=mrm", "+sampler.random={}",
            "+pipeline.retriever.dense={}", "baseline=defualt", "+objective.log.evidence.nothing=1",
        )  # fmt: skip
    for expected in (
        "dataset.documents: must be given",
        "dataset.questions: must be given",
        "space.chunker.fixed.size: is 0",
        "only.reranker: the space has no reranker 'mrm'; did you mean 'mmr'?",
        "sampler: is",
        "pipeline.retriever: is",
        "baseline: is neither a file nor a pipeline: 'defualt'; did you mean 'default'?",
    ):
        assert expected in str(error.value), expected
    assert not (tmp_path / "store").exists(), "nothing is spent on input that is refused"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("pipeline.chunker.recursive.size=512", "baseline: baseline is impossible: chunks of 512 tokens"),
        ("+space.reranker.cross_encoder={name: [bge_rerankr_base]}", "did you mean 'bge_reranker_base'?"),
        ("+space.query.hyde={}", "space.query.hyde: needs a language model; llm=openai_compatible"),
        ("llm=openai_compatible", "llm.base_url: must be given: llm.base_url=…"),
        (
            "llm=openai_compatible llm.base_url=127.0.0.1/v1 llm.model=m",
            "should begin with http:// or https://",
        ),
        (
            "objective=answer_correctness",
            "objective.optimise.answer_correctness: needs a language model that judges",
        ),
        ("+objective.log.faithfulness={}", "objective.log.faithfulness: needs a language model that judges"),
        ("+objective.log.ragas={metrics: {ToolCallF1: {}}}", "needs reference_tool_calls"),
        ("+space.generator.chat={}", "space.generator.chat: needs a language model"),
        ("budget.usd=-1", "budget.usd"),
        ("+space.reranker.tei={}", "space.reranker.tei.name: must be given"),
        (
            "space.embedder.model.dimensions=800",
            "no pipeline of it can exist: sentence-transformers/all-MiniLM-L6-v2 has",
        ),
        ("dataset.language=german", "dataset.language: is 'german'; should be two letters"),
        ("embedder.max_parameters=1", "space.embedder: no model is left: minilm (23 million parameters"),
        (
            "+embedder.cards.minilm.backend=tei",
            "embedder.cards.minilm.url: backend tei needs the address",
        ),
        ("space.retriever.lexical.stemmer=englsh", "space.retriever.lexical.stemmer: is 'englsh'; should be"),
        ("space.embedder.model.name=[minilm, minilmm]", "there is no card for 'minilmm'; did you mean 'minilm'?"),
        (
            "space.chunker={sentence: {size: 400}, recursive: null, fixed: null}",
            "no model of the space reads more than 256",
        ),
        ("study.name=a/b", "should be usable as the name of a folder"),
        ("study.trials=0", "study.trials: is 0; should be greater than or equal to 1"),
        (
            "objective=ndcg +objective.optimise.evidence_recall={}",
            "names ndcg, evidence_recall; should be one objective",
        ),
        ("sampler=grid space.retriever.weighted.weight=0.0..1.0", "sampler: a grid over this space is endless"),
        ("study.trials=0 dataset.format=nothing", "dataset.format: no dataset is called 'nothing'"),
        ("study.racing=on +objective.against.context_tokens={}", "study.racing: is on, but a race needs one objective"),
        ("device=tpu", "device: is 'tpu'"),
        ("sampler.sweep=perhaps", "sampler.sweep: is 'perhaps'; should be on or off"),
        ("tracking.uri=foo", "tracking.uri: is 'foo'; should be a database (sqlite:///runs.db"),
        ("tracking.uri=file:///runs", "tracking.uri: is 'file:///runs'"),
        ("plugins=[objectives, no_such_package]", "plugins: there is no importable package 'no_such_package'"),
        ("objective.auto.grounded_answer.similarity_model=minilmm", "there is no card for 'minilmm'"),
    ],
)
def test_refused_before_anything_is_spent(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        prepared(tmp_path, *re.split(r" (?=[\w.+]+=)", override))
    assert said in str(error.value)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(BadInput, match=r"outputs: .*taken cannot be written"):
        prepared(tmp_path / "taken")


def test_questions_that_the_model_reads_in_part_are_counted(tmp_path: Path, tiny_files: list[str]) -> None:
    path = Path(tiny_files[2].partition("=")[2])
    path.write_text(path.read_text().replace("How do honey bees", "How " + "very " * 300 + "do honey bees"))
    made = prepared(tmp_path / "outputs", *tiny_files)
    assert "1 questions are longer than minilm reads (254 tokens); it reads no more" in made.notes


def test_a_baseline_from_a_file(tmp_path: Path, default_pipeline: dict[str, object]) -> None:
    import orjson

    (tmp_path / "mine.json").write_bytes(orjson.dumps(default_pipeline))
    made = prepared(tmp_path / "outputs", f"baseline={tmp_path / 'mine.json'}")
    assert made.search.baseline.chunker.size == 32
