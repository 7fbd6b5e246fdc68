"""Models that would give silently wrong vectors are refused; cards of models that have none are inferred."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rag_opt.core.errors import BadInput, ImpossiblePipeline, ModelRefused
from rag_opt.models import golden_vectors as golden
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.remote_code import allowed_code, code_name
from rag_opt.models.runtimes import Machine
from rag_opt.parts.embedders.instruct import Instruct
from rag_opt.parts.embedders.late import Late
from rag_opt.parts.embedders.model import Model
from rag_opt.parts.embedders.pca import Pca
from rag_opt.parts.embedders.static import Static
from rag_opt.store.values import MemoryValues
from tests.tiny_models import DIMENSIONS, READS_TOKENS, build, reference

PLAIN = Machine(device="cpu", runtime="torch", document_precision="float32")
CODE = '''
from transformers import BertModel
class Doubled(BertModel):
    """Custom code that shows: every token vector moved by its place."""
    def forward(self, *args, **kwargs):
        out = super().forward(*args, **kwargs)
        shift = 0.05 * out.last_hidden_state.new_tensor(range(out.last_hidden_state.shape[2]))
        out.last_hidden_state = out.last_hidden_state + shift
        return out
'''


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = {"query": "find: ", "document": "text: "}
    return build(tmp_path_factory.mktemp("tiny"), "bert", "mean", prompts=prompts)


def card(folder: Path, **changes: Any) -> EmbedderCard:
    given = {"id": "tiny", "path": str(folder), "dimensions": DIMENSIONS, "reads_tokens": READS_TOKENS}
    return EmbedderCard(**{**given, **changes})


def encoder(one: EmbedderCard, **machine: Any) -> Encoder:
    return Encoder(one, values=MemoryValues(), machine=dataclasses.replace(PLAIN, **machine))


def test_a_model_that_pools_otherwise_than_its_card_says_is_refused(model: Path) -> None:
    with pytest.raises(ModelRefused, match="its files pool by mean, its card says cls"):
        encoder(card(model, pooling="cls")).vectors(["a"], "query")


def test_a_bare_transformer_is_pooled_as_its_card_says(tmp_path: Path) -> None:
    folder = build(tmp_path, "bert", None)
    for pooling in ("mean", "cls", "last"):
        found = encoder(card(folder, pooling=pooling)).vectors(["bees dance"], "query")
        np.testing.assert_allclose(found, reference(folder, ["bees dance"], pooling), atol=2e-5)  # type: ignore[arg-type]


def test_a_prompt_by_name_is_the_models_own_or_refused(model: Path) -> None:
    named = encoder(card(model, query_prompt_name="query", document_prompt_name="document"))
    assert named.prompt("query") == "find: " and named.prompt("document") == "text: "
    np.testing.assert_allclose(named.vectors(["bees"], "query"), reference(model, ["find: bees"], "mean"), atol=2e-5)
    with pytest.raises(BadInput, match="no prompt called 'qery'; did you mean 'query'"):
        encoder(card(model, query_prompt_name="qery")).vectors(["bees"], "query")


def test_a_models_default_prompt_is_not_put_before_an_exact_input(tmp_path: Path) -> None:
    folder = build(tmp_path, "bert", "mean", prompts={"query": "find: "})
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "default_prompt_name": "query"}))
    np.testing.assert_allclose(
        encoder(card(folder)).vectors(["bees"], "query"), reference(folder, ["bees"], "mean"), atol=2e-5
    )


def test_golden_vectors_must_come_out(model: Path) -> None:
    right = {p: golden.to_base64(encoder(card(model)).vectors([golden.TEXT], p)[0]) for p in ("query", "document")}  # type: ignore[arg-type]
    assert encoder(card(model, golden=right)).vectors(["a"], "query").shape == (1, DIMENSIONS)
    with pytest.raises(ModelRefused, match="the query vector of a fixed text has cosine 0"):
        encoder(card(model, golden=right, query_prompt="another prompt: ")).vectors(["a"], "query")
    short = {"query": golden.to_base64(np.ones(8, np.float32))}
    with pytest.raises(ModelRefused, match="its golden vector has 8"):
        encoder(card(model, golden=short)).vectors(["a"], "query")


@pytest.mark.parametrize("purpose", ["query", "document"])
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_minilm_is_what_its_card_says_on_every_runtime(cards: EmbedderCards, purpose: str, runtime: str) -> None:
    one = cards.read("minilm")
    assert set(one.golden) == {"query", "document"}
    Encoder(one, values=MemoryValues(), machine=Machine(runtime=runtime)).prepare(purpose)  # type: ignore[arg-type]


@pytest.fixture
def coded(model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "coded"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "doubled.Doubled"}}))
    (folder / "doubled.py").write_text(CODE)
    return folder


def test_custom_code_runs_only_for_an_allowed_id_and_revision(coded: Path, model: Path) -> None:
    pinned = card(coded, revision="abc")
    for allowed in ((), ("tiny@abc",), (str(model),)):  # a folder is named by its place: an id can be claimed
        with pytest.raises(ModelRefused, match="custom code"):
            encoder(pinned, allow_code=allowed).vectors(["bees"], "query")
    found = encoder(pinned, allow_code=(str(coded),)).vectors(["bees"], "query")
    plain = reference(model, ["bees"], "mean")
    assert float(found[0] @ plain[0]) < 0.99, "the code was run"


def test_code_of_another_repository_must_be_allowed_too(coded: Path) -> None:
    config = json.loads((coded / "config.json").read_text())
    (coded / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "some/code--doubled.Doubled"}}))
    with pytest.raises(ModelRefused, match="some/code"):
        encoder(card(coded), allow_code=(str(coded),)).vectors(["bees"], "query")
    hub = EmbedderCard(id="some/model", dimensions=32, reads_tokens=64)
    assert code_name(hub) == "" and not allowed_code(hub, ("some/model@None",)), "which revision must be said"
    assert allowed_code(dataclasses.replace(hub, revision="abc"), ("some/model@abc",)) == ("some/model@abc",)


def test_a_card_is_inferred_from_a_models_own_files(model: Path, tmp_path: Path, cards: EmbedderCards) -> None:
    found = cards.read(str(model))
    assert (found.dimensions, found.reads_tokens, found.pooling, found.normalises) == (32, 64, "mean", True)
    assert (found.query_prompt, found.document_prompt) == ("find: ", "text: ")
    assert not found.verified and found.parameters_millions and 0.9 < found.parameters_millions < 1.1
    roberta = cards.read(str(build(tmp_path / "r", "xlm_roberta", "mean", normalises=False)))
    assert (roberta.reads_tokens, roberta.normalises) == (64, False)
    np.testing.assert_allclose(
        encoder(found).vectors(["bees"], "query"), reference(model, ["find: bees"], "mean"), atol=2e-5
    )


def test_older_files_of_sentence_transformers_say_the_same(model: Path, tmp_path: Path, cards: EmbedderCards) -> None:
    folder = tmp_path / "old"
    shutil.copytree(model, folder)
    for name, old in (
        (
            "1_Pooling/config.json",
            {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
        ),
        ("sentence_bert_config.json", {"max_seq_length": 48, "do_lower_case": False}),
    ):
        (folder / name).write_text(json.dumps(old))
    found = cards.read(str(folder))
    assert (found.dimensions, found.reads_tokens, found.pooling) == (32, 48, "mean")


def test_a_card_can_be_written_and_read_again(model: Path, tmp_path: Path, cards: EmbedderCards) -> None:
    from rag_opt.cli.card_command import golden_vectors_of, to_yaml

    inferred = cards.read(str(model))
    (tmp_path / "embedder").mkdir()
    (tmp_path / "embedder" / "mine.yaml").write_text(to_yaml(inferred, golden_vectors_of(inferred)))
    mine = dataclasses.replace(cards, folders=(tmp_path / "embedder",)).read("mine")
    assert dataclasses.replace(mine, golden={}) == inferred and set(mine.golden) == {"query", "document"}
    assert "verified: false" in (tmp_path / "embedder" / "mine.yaml").read_text()
    assert yaml.safe_load((tmp_path / "embedder" / "mine.yaml").read_text())["dimensions"] == 32


def test_cards_are_changed_for_one_run(cards: EmbedderCards) -> None:
    changed = cards.with_changes({"minilm": {"reads_tokens": 128}})
    assert changed.read("minilm").reads_tokens == 128 and cards.read("minilm").reads_tokens == 256
    other_prompt = cards.with_changes({"minilm": {"query_prompt": "q: "}})
    assert changed.read("minilm").golden and not other_prompt.read("minilm").golden
    with pytest.raises(BadInput, match=r"embedder\.cards\.minilm\.read_tokens: there is no setting"):
        cards.with_changes({"minilm": {"read_tokens": 128}}).read("minilm")


def test_what_a_model_cannot_do_is_impossible(cards: EmbedderCards) -> None:
    with pytest.raises(ImpossiblePipeline, match="takes no task"):
        Instruct(name="minilm").adapt(cards.read("minilm"))
    task = Instruct(name="x", task="Find laws").adapt(cards.read("multilingual_e5_large_instruct"))
    assert task.task == "Find laws" and task.takes_task
    with pytest.raises(ImpossiblePipeline, match="384 of them are no fewer"):
        Pca(name="minilm", project_to=384).adapt(cards.read("minilm"))
    with pytest.raises(ImpossiblePipeline, match="has 384 dimensions, not 512"):
        Model(name="minilm", dimensions=512).adapt(cards.read("minilm"))
    with pytest.raises(ImpossiblePipeline, match="does not say what"):
        Late(name="x").adapt(dataclasses.replace(cards.read("minilm"), pooling=None))
    with pytest.raises(ImpossiblePipeline, match="pools by cls"):
        Late(name="x").adapt(cards.read("bge_base_en_v1_5"))
    with pytest.raises(ImpossiblePipeline, match="behind a server"):
        Static(name="x").adapt(cards.read("jina_v2_base_en"))
    with pytest.raises(ImpossiblePipeline, match="longer than minilm reads"):
        Late(name="minilm", window=512).adapt(cards.read("minilm"))
