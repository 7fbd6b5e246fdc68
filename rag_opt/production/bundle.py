"""A bundle: a folder that loads and answers without hydra, optuna, mlflow or ragas.

spec.json          the pipeline
documents.jsonl    the documents whose text it returns
chunks/            the chunk table
index/<name>/      the indexes that its retriever searches
card.json          the embedding model: where its files are, or which revision of which id
model/ tokenizer/  the embedding model itself, where it was made here and is no download
cards/             the card of a reranking model
llm.json           the language model that it asks, by address; never its key
prompt/            the prompt of a generator that has one
manifest.json      every file with its size and hash; what it was measured at, on which versions
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import yaml

from rag_opt.core import strict as config
from rag_opt.core.digests import versions
from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.errors import BadBundle, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.core.registry import load_parts
from rag_opt.data.document_file import kept
from rag_opt.models.cards import ModelCard
from rag_opt.models.embedder_cards import EmbedderCard, embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.models.runtimes import Machine
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.chunk_table import ChunkTable
from rag_opt.pipeline.chunk_vectors import opened
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.resources import build_reranker_resources, index_parts
from rag_opt.pipeline.spec import SLOTS, PipelineSpec
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.artifacts import MANIFEST, damage, seal
from rag_opt.store.values import MemoryValues, Values

_MODEL, _TOKENIZER, _CARDS, _LLM, _PROMPT = "model", "tokenizer", "cards", "llm.json", "prompt"


@dataclass(frozen=True)
class Passage:
    """A returned span with its text, and the retriever's score (higher is better)."""

    document: str
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True)
class Reply:
    """`answer` is empty when it `refused`. `hits` reached the context, best first; `cited` is what it rests on."""

    question: str
    answer: str
    refused: bool
    hits: tuple[Passage, ...]
    cited: tuple[Span, ...]
    context_tokens: int


class Bundle:
    """An exported pipeline, open. The embedding model is loaded with the first question."""

    def __init__(self, pipeline: Pipeline, manifest: Mapping[str, Any]) -> None:
        self.pipeline = pipeline
        self.spec = pipeline.spec
        self.manifest = manifest

    def ask(self, question: str, *, filters: Mapping[str, Any] | None = None) -> Reply:
        """Answer one question. `filters`: only documents whose metadata equal these may be returned.

        Raises ServerFailed where a language model that it needs does not answer.
        """
        return self.ask_many([question], filters=filters)[0]

    def ask_many(self, questions: Sequence[str], *, filters: Mapping[str, Any] | None = None) -> list[Reply]:
        asked = [Question(id="", text=text, filters=filters or {}) for text in questions]
        responses = self.pipeline.ask(asked)
        for why in filter(None, responses.usage.failed):
            raise ServerFailed(why)
        corpus = self.pipeline.corpus
        replies = []
        for row, question in enumerate(asked):
            kept = responses.hits.document[row] >= 0
            arrays = (responses.hits.document, responses.hits.start, responses.hits.end, responses.scores)
            hits = []
            for number, start, end, value in zip(*(a[row][kept].tolist() for a in arrays), strict=True):
                document = corpus.documents[number]
                hits.append(Passage(document.id, start, end, document.text[start:end], value))
            answer = responses.answers[row]
            tokens = int(responses.context_tokens[row])
            replies.append(Reply(question.text, answer.text, answer.refused, tuple(hits), answer.cited, tokens))
        return replies


def write_bundle(folder: Path, builder: PipelineBuilder, spec: PipelineSpec, facts: Mapping[str, Any]) -> None:
    """Write the pipeline into an empty or new folder. `facts` go into the manifest as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadBundle(f"{folder} is not empty; a bundle is written into a new or empty folder")
    (folder / "spec.json").write_bytes(orjson.dumps(spec.to_dict(), option=orjson.OPT_INDENT_2))
    encoder = builder.encoder(spec.embedder)
    card = _carried(encoder, folder)
    (folder / "card.json").write_bytes(orjson.dumps(config.dump(card), option=orjson.OPT_INDENT_2))
    _keep_reranker(folder, builder, spec)
    if builder.llm_client is not None and any(
        "model" in p.requires for p in (spec.query, spec.reranker, spec.generator)
    ):
        (folder / _LLM).write_bytes(orjson.dumps(config.dump(builder.llm_client.settings), option=orjson.OPT_INDENT_2))
    if "model" in spec.generator.requires:
        _keep_prompt(folder, builder, spec.generator.prompt)
    with (folder / "documents.jsonl").open("wb") as file:
        for d in builder.corpus.documents:
            line = {"id": d.id, "text": d.text, "title": d.title, "metadata": dict(d.metadata)}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    for name, source in builder.folders(spec).items():
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(MANIFEST))
    parts = (getattr(spec, slot) for slot in SLOTS)
    plugins = sorted({type(part).__module__.partition(".")[0] for part in parts} - {"rag_opt"})
    facts = {**facts, "plugins": plugins, "model_files": encoder.files_digest, "language": builder.corpus.language}
    facts["carries_model"] = encoder.made_here
    libraries = versions("rag-opt", "chromadb", "bm25s", "sentence-transformers", "transformers", "torch", "tokenizers")
    seal(folder, {"format": 1, "versions": libraries, **facts})


Kept = TypeVar("Kept", bound=ModelCard)


def _placed(card: Kept) -> Kept:
    """The card with its folder as it is found from anywhere."""
    path = card.path
    return (
        card
        if path is None or path.startswith("package:")
        else dataclasses.replace(card, path=str(Path(path).resolve()))
    )


def _carried(encoder: Encoder, folder: Path) -> EmbedderCard:
    """The card as a bundle keeps it; a model that was made here travels with it."""
    if not encoder.made_here:
        return _placed(encoder.card)
    shutil.copytree(encoder.backend.folder, folder / _MODEL, ignore=shutil.ignore_patterns(MANIFEST))
    tokenizer = folder / _TOKENIZER
    tokenizer.mkdir()
    shutil.copy(encoder.card.tokenizer_file, tokenizer / "tokenizer.json")
    return dataclasses.replace(encoder.card, path=_MODEL, tokenizer=_TOKENIZER, revision=None)


def _encoder(
    folder: Path, card: EmbedderCard, values: MemoryValues, manifest: Mapping[str, Any], machine: Machine
) -> Encoder:
    if not manifest.get("carries_model"):
        return Encoder(card, values=values, machine=machine)
    inside = dataclasses.replace(card, path=str(folder / _MODEL), tokenizer=str(folder / _TOKENIZER))
    return Encoder(inside, values=values, folder=lambda: folder / _MODEL, identity=manifest["model_files"])


def _scorer(
    folder: Path, values: MemoryValues, encoder: Encoder, spec: PipelineSpec, machine: Machine
) -> Callable[[Any], Any]:
    """What makes the reranker's model, of the cards that the bundle holds."""
    cards = folder / _CARDS
    rerankers, embedders = reranker_card_library([cards]), embedder_card_library([cards])

    @functools.cache
    def encoder_of(name: str) -> Encoder:
        card = embedders.read(name)
        return encoder if encoder.card == card else Encoder(card, values=values, machine=machine)

    @functools.cache
    def scorer(part: Any) -> Any:
        return part.scorer(build_reranker_resources(encoder_of, rerankers, values, machine))

    return scorer


def _llm_client(folder: Path, values: Values) -> LLMClient | None:
    path = folder / _LLM
    if not path.exists():
        return None
    return LLMClient(config.load(LanguageModel, orjson.loads(path.read_bytes()), path=_LLM), values)


def _keep_reranker(folder: Path, builder: PipelineBuilder, spec: PipelineSpec) -> None:
    """The card of the reranker's model, as a folder of cards."""
    name = getattr(spec.reranker, "name", None)
    if name is None:
        return
    reranks = name in builder.rerankers.names() or spec.reranker.kind != "late_interaction"
    card = _placed(builder.rerankers.read(name) if reranks else builder.cards.read(name))
    place = folder / _CARDS / ("reranker" if reranks else "embedder") / f"{name.replace('/', '--')}.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(yaml.safe_dump(config.dump(card), allow_unicode=True), encoding="utf-8")


def _keep_prompt(folder: Path, builder: PipelineBuilder, name: str) -> None:
    place = folder / _PROMPT / f"{name}.yaml"
    place.parent.mkdir()
    place.write_text(yaml.safe_dump(config.dump(builder.prompts.read(name)), allow_unicode=True), encoding="utf-8")


def _manifest(folder: Path, *, check: bool) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        raise BadBundle(f"{folder} is not a bundle: there is no {MANIFEST}")
    wrong = damage(folder) if check else ""
    if wrong:
        raise BadBundle(f"{folder}: {wrong}")
    found: dict[str, Any] = orjson.loads((folder / MANIFEST).read_bytes())
    return found


def load_bundle(
    path: str | Path, *, check: bool = True, allow_code: Sequence[str] = (), completions: Values | None = None
) -> Bundle:
    """Open a bundle. Raises BadBundle when it is not one, or (with `check`) when a file is missing or changed.

    `allow_code`: models whose custom code may run here, as `id@revision`; a bundle cannot allow it itself.
    `completions`: where a language model's answers are kept, instead of with everything else in memory.
    """
    folder = Path(path)
    manifest = _manifest(folder, check=check)
    load_parts(manifest.get("plugins", ()))
    spec = PipelineSpec.from_dict(orjson.loads((folder / "spec.json").read_bytes()), where="spec.json")
    card = config.load(EmbedderCard, orjson.loads((folder / "card.json").read_bytes()), path="card.json")
    values = MemoryValues()
    machine = Machine(allow_code=tuple(allow_code))
    encoder = _encoder(folder, card, values, manifest, machine)
    if check and encoder.files_digest != manifest["model_files"]:
        raise BadBundle(f"{folder}: the model in {card.folder} is not the one that its index was made with")
    with (folder / "documents.jsonl").open("rb") as lines:
        documents = kept((Document(**orjson.loads(line)) for line in lines), by_id=False)
    corpus = Corpus(documents, str(manifest.get("language", "")))
    parts, indexes = index_parts(spec, corpus.language), dict[str, Any]()

    def open_index(name: str) -> Any:
        if name not in indexes:
            indexes[name] = opened(parts[name], folder / "index" / name)
        return indexes[name]

    pipeline = Pipeline(
        spec=spec,
        texts=CorpusText(corpus),
        chunks=ChunkTable.load(folder / "chunks"),
        encoder=encoder,
        values=values,
        index_keys={name: f"bundle {name}" for name in parts},
        index_parts=parts,
        open_index=open_index,
        scorer=_scorer(folder, values, encoder, spec, machine),
        llm_client=_llm_client(folder, completions or values),
        prompt=prompt_library([folder]).read,
        stage_timer=StageTimer(),
    )
    return Bundle(pipeline, manifest)


def parity(bundle: Bundle, rows: Sequence[Mapping[str, Any]], filters: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ask the bundle what the search asked, one question at a time; what came out differently, in words.

    The same spans in the same order, the same refusals and answers; scores within 1e-4.
    """
    different = []
    for row, limits in zip(rows, filters, strict=True):
        if row.get("failed"):  # the search has nothing to compare with
            continue
        reply = bundle.ask(row["question"], filters=limits)
        ours = [(hit.document, hit.start, hit.end) for hit in reply.hits]
        theirs = [(hit["document"], hit["start"], hit["end"]) for hit in row["hits"]]
        if ours != theirs:
            different.append(f"{row['question_id']}: other hits or another order")
        elif not np.allclose([h.score for h in reply.hits], [h["score"] for h in row["hits"]], atol=1e-4):
            different.append(f"{row['question_id']}: scores differ by more than 1e-4")
        elif (reply.answer, reply.refused) != (row["answer"], row["refused"]):
            different.append(f"{row['question_id']}: another answer")
    return different
