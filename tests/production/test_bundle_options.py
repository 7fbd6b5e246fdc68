"""What a bundle can be asked for beside its pipeline: copies, signatures, required filters, older formats."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import rag_opt
from rag_opt.core.errors import BadBundle
from rag_opt.core.questions import Dataset
from rag_opt.models.embedder_cards import EmbedderCards, embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.manifest import read_manifest
from rag_opt.production.parity import find_differences
from rag_opt.production.signing import sign_bundle
from rag_opt.store.artifacts import Store
from tests.production.bundles import write_asked
from tests.servers import OpenAI, Server, Tei, serving

KEPT = Path(__file__).parent / "kept"
DOUGH = "What makes dough rise?"


def test_format_1_is_read_as_it_is() -> None:
    bundle = rag_opt.load(KEPT / "bundle_format_1")
    reply = bundle.ask(DOUGH)
    assert (reply.hits[0].document, reply.hits[0].start, reply.hits[0].end) == ("bread.md", 0, 88)
    assert bundle.manifest.format == 1 and bundle.questions == () and bundle.manifest.trial == 3


def test_another_format_is_refused_by_its_number(tmp_path: Path) -> None:
    shutil.copytree(KEPT / "bundle_format_1", tmp_path / "bundle")
    manifest = orjson.loads((tmp_path / "bundle" / "manifest.json").read_bytes())
    for given, remedy in ((3, "install the rag_opt that made it"), (0, "export it again"), ("x", "export it again")):
        (tmp_path / "bundle" / "manifest.json").write_bytes(orjson.dumps({**manifest, "format": given}))
        with pytest.raises(BadBundle, match=f"format {given!r}, where this version reads 1 and 2: {remedy}"):
            rag_opt.load(tmp_path / "bundle")


def test_the_sentences_travel_with_it_and_are_not_encoded_again(
    tmp_path: Path, builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec
) -> None:
    stored = write_asked(tmp_path / "with", builder, spec, dataset.questions)
    bundle = rag_opt.load(tmp_path / "with")
    assert bundle.manifest.sentence_vectors == 20
    assert find_differences(bundle, stored) == []
    assert bundle.pipeline.encoder.encoded == len(dataset.questions), "the questions alone"
    write_bundle(tmp_path / "without", builder, spec, BundleFacts(questions=stored, sentence_vectors=False))
    slower = rag_opt.load(tmp_path / "without")
    assert find_differences(slower, stored) == [] and slower.pipeline.encoder.encoded > len(dataset.questions)


_EVENTS = """
import os, sys
seen = []
sys.addaudithook(lambda name, arguments: seen.append(name) if name.startswith("pickle.") else None)
import rag_opt
bundle = rag_opt.load(sys.argv[1])
before = len(seen)
bundle = rag_opt.load(sys.argv[1])
bundle.pipeline.open_index("dense"), bundle.pipeline.open_index("lexical")
print(seen[before:], flush=True)
os._exit(0)
"""


def test_nothing_is_unpickled(tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec) -> None:
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    command = [sys.executable, "-c", _EVENTS, str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_copies_of_the_models_travel_with_it_if_asked(
    tmp_path: Path, builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec
) -> None:
    stored = write_asked(tmp_path / "bundle", builder, spec, dataset.questions, BundleFacts(weights=True))
    (tmp_path / "bundle").rename(tmp_path / "moved")
    bundle = rag_opt.load(tmp_path / "moved")
    assert bundle.pipeline.encoder.folder == tmp_path / "moved" / "model"
    assert find_differences(bundle, stored) == []
    (model,) = bundle.manifest.models
    assert model.path is None and model.files["model.safetensors"] and model.licence == "Apache-2.0"
    (tmp_path / "moved" / "model" / "config.json").write_text("{}")
    with pytest.raises(BadBundle, match=r"model/config\.json has changed"):
        rag_opt.load(tmp_path / "moved")


def test_a_model_that_may_not_be_sold_is_refused_unless_asked_for(
    tmp_path: Path, dataset: Dataset, store: Store, cards: EmbedderCards, spec: PipelineSpec
) -> None:
    folder = tmp_path / "embedder"
    folder.mkdir()
    card = {**dataclasses.asdict(cards.read("minilm")), "licence": "CC BY-NC 4.0", "commercial_use": False}
    (folder / "minilm.yaml").write_text(yaml.safe_dump(card))
    builder = PipelineBuilder(dataset.corpus, store, embedder_card_library([tmp_path]))
    with pytest.raises(BadBundle, match=r"CC BY-NC 4\.0 does not allow commercial use.*--allow-non-commercial"):
        write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    assert not (tmp_path / "bundle").exists()
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts(non_commercial=True))
    assert "CC BY-NC 4.0 (no commercial use)" in (tmp_path / "bundle" / "README.md").read_text()
    builder.close()


def test_a_required_filter_that_no_document_has_is_refused(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec
) -> None:
    with pytest.raises(BadBundle, match="--requires-filter tenant: 4 of 4 documents have no such metadata"):
        write_bundle(tmp_path / "bundle", builder, spec, BundleFacts(requires_filter=["tenant"]))


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    private = Ed25519PrivateKey.generate()
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub"
    secret.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return secret, public


def test_a_signature_is_checked_where_that_is_asked(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(KEPT / "bundle_format_1", bundle)
    (mine, my_public), (_, other) = keys(tmp_path, "mine"), keys(tmp_path, "other")
    with pytest.raises(BadBundle, match="is not signed"):
        rag_opt.load(bundle, verify=my_public)
    sign_bundle(bundle, mine)
    rag_opt.load(bundle)
    rag_opt.load(bundle, verify=my_public)
    with pytest.raises(BadBundle, match="is not by the key"):
        rag_opt.load(bundle, verify=other)
    with pytest.raises(BadBundle, match="is no public key"):
        rag_opt.load(bundle, verify=mine)
    with pytest.raises(BadBundle, match="is no private key"):
        sign_bundle(bundle, my_public)
    manifest = bundle / "manifest.json"
    manifest.write_bytes(
        manifest.read_bytes().replace(b'"trial":3', b'"trial":4').replace(b'"trial": 3', b'"trial": 4')
    )
    with pytest.raises(BadBundle, match="has changed since"):
        rag_opt.load(bundle, verify=my_public)
    assert read_manifest(bundle, check=True).trial == 4, "without a key to verify by, hashes alone count"


@pytest.mark.parametrize("form", ["tei", "openai"])
def test_a_server_may_run_the_embedding_model(
    form: str, tmp_path: Path, builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec
) -> None:
    stored = write_asked(tmp_path / "bundle", builder, spec, dataset.questions)
    encoder = builder.encoder("minilm")

    def embed(texts: object) -> object:
        return encoder.backend.embed(list(texts), "query")  # type: ignore[call-overload]

    def tokens(text: str) -> int:
        return int(encoder.tokenizer.lengths([text])[0])

    server: Server
    if form == "tei":
        server = Tei(encoder.card.id, embed, tokens, max_input_length=256)  # type: ignore[arg-type]
    else:
        server = OpenAI(embed, tokens, most_tokens=256)  # type: ignore[arg-type]
    with serving(server):
        url = server.url if form == "tei" else f"{server.url}/v1"
        bundle = rag_opt.load(tmp_path / "bundle", embedder_url=url)
        assert find_differences(bundle, stored) == []
        assert server.seen


def test_the_card_says_what_a_person_wants_to_know(
    tmp_path: Path, builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec
) -> None:
    gain = {
        "mean": 0.032,
        "low": -0.016,
        "high": 0.08,
        "baseline": 0,
        "verdict": "undecided",
        "claim": "these documents",
    }
    metrics = {"held_out": {"objective/value": {"mean": 0.55, "low": 0.5, "high": 0.6, "questions": 82}}}
    facts = BundleFacts(
        study="mine", trial=7, dataset={"name": "tiny", "documents": 4, "corpus": "abc"},
        scores={"objective": "grounded_answer", "gain": gain, "metrics": metrics}, requires_filter=["name"],
    )  # fmt: skip
    write_bundle(tmp_path / "bundle", builder, spec, facts)
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "trial 7 of the study `mine`" in card and "**4 documents**" in card
    assert "+3.2 points, 95 % interval [-1.6, +8.0], about these documents; verdict: undecided" in card
    assert "| `objective/value` | 0.550 | [0.500, 0.600] | 82 |" in card and "Apache-2.0" in card
    assert "must name `name` as a filter" in card
