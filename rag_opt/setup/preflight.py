"""Preflight checks: whether everything that was read fits together on this machine, before anything is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rag_opt.core.errors import BadInput, ImpossiblePipeline, ModelRefused, Problem
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary, ModelCard
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.litellm_address import LITELLM_EXTRA, has_litellm
from rag_opt.models.llm.budget import Budget
from rag_opt.models.llm.settings import (
    Judge,
    LanguageModel,
    find_address_problems,
    find_misconfigurations,
    resolve_judge,
)
from rag_opt.models.remote_code import allowed_code, code_name
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.runtimes import DocumentRuntime
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.space_models import SpaceModels
from rag_opt.study.space.domains import Choice, Scalar
from rag_opt.study.space.space import Space

_DRAWN_PIPELINES = 300  # of a space that are looked at
_DRAWN_FOR_A_VALUE = 20


def find_problems(
    space: Space,
    references: Mapping[str, PipelineSpec],
    enqueued: Sequence[PipelineSpec],
    models: SpaceModels,
    builder: PipelineBuilder,
) -> list[Problem]:
    """Return everything that keeps a search from starting, or each of its pipelines from existing.

    `references`: the pipelines that are tried first, by their origin; `enqueued`: those of a person's own.
    """
    problems = [*_embedder_problems(models, builder), *_own_model_problems(models, builder)]
    if not problems:
        problems += [*_runtime_problems(models, builder), *_reference_problems(references, builder)]
    if builder.llm_client is None:
        problems += _missing_llm(space)
    problems += _mixed_tokenizers(space, [*references.values(), *enqueued])
    if not problems:
        problems += _nothing_possible(space, builder)
    return [*problems, *_too_long_chunks(space, models, builder), *_missing_comparison_models(models, builder)]


def _embedder_problems(models: SpaceModels, builder: PipelineBuilder) -> Iterator[Problem]:
    for name in models.embedders:
        try:
            yield from _cannot_run(name, builder.encoder(name).card, builder)
        except BadInput as error:
            yield from (Problem("space.embedder.model.name", problem.what) for problem in error.problems)


def _cannot_run(name: str, card: EmbedderCard, builder: PipelineBuilder) -> list[Problem]:
    """Return what keeps a model from running that its card alone can say."""
    where = f"embedder.cards.{name}"
    wrong = list(find_address_problems(card.url, f"{where}.url")) if card.url is not None else []
    if wrong:
        return wrong
    if card.lacks_address:
        what = f"backend {card.backend} needs the address of its server: +{where}.url=http://… (docs/models.md)"
        return [Problem(f"{where}.url", f"{what}; or name only others in space.embedder")]
    if card.url is not None and not card.served:
        what = f"is {card.url}, but by its backend it runs here: +{where}.backend=tei (or openai)"
        return [Problem(f"{where}.url", what)]
    if card.backend == "litellm" and not has_litellm():
        return [Problem(where, f"its service is asked by LiteLLM, which is not installed: {LITELLM_EXTRA}")]
    return [] if card.served else _code_not_allowed(card, where, builder)


def _code_not_allowed(card: ModelCard, where: str, builder: PipelineBuilder) -> list[Problem]:
    name = code_name(card)
    if not card.custom_code or allowed_code(card, builder.machine.allow_code):
        return []
    allow = f"embedder.allow_code=[{name}]" if name else "a revision in its card and embedder.allow_code"
    what = f"{card.id} needs its own code: serve it by text-embeddings-inference, or allow it by {allow}"
    return [Problem(where, what)]


def _runtime_problems(models: SpaceModels, builder: PipelineBuilder) -> Iterator[Problem]:
    """Yield why documents cannot be encoded here as the settings say, or as the study that goes on began."""
    for name in models.document_embedders:
        try:
            document_runtimes([name], builder)
        except ModelRefused as error:
            away = "; go on where it began, or begin a new study: study.name=…" if builder.machine.kept else ""
            yield Problem(f"embedder.cards.{name}", f"{error}{away}")
        except BadInput as error:
            yield from error.problems


def document_runtimes(names: Sequence[str], builder: PipelineBuilder) -> dict[str, DocumentRuntime]:
    """Return by its id what encodes the documents of each model that runs here. Raises ModelRefused, BadInput."""
    encoders = [builder.encoder(name) for name in names]
    return {one.card.id: one.runtime.record for one in encoders if not one.card.served}


def _own_model_problems(models: SpaceModels, builder: PipelineBuilder) -> Iterator[Problem]:
    """Yield what keeps the rerankers and indexes of the space from running with a model that they can name."""
    for where, part in (*models.rerankers, *models.indexes):
        try:
            card = part.find_card(builder.rerankers, builder.cards)
            if isinstance(card, RerankerCard) and card.hosted and not has_litellm():
                yield Problem(where, f"{part.name} is asked by LiteLLM, which is not installed: {LITELLM_EXTRA}")
            if not card.served:
                yield from _code_not_allowed(card, where, builder)
                if not card.custom_code:
                    card.folder  # noqa: B018  # reading it fetches the weights now, or refuses
        except (BadInput, ImpossiblePipeline) as error:
            problems = error.problems if isinstance(error, BadInput) else (Problem("", str(error)),)
            yield from (Problem(where, problem.what) for problem in problems)


def _reference_problems(references: Mapping[str, PipelineSpec], builder: PipelineBuilder) -> list[Problem]:
    for origin, spec in references.items():
        try:
            builder.check(spec)
        except (ImpossiblePipeline, BadInput) as error:
            return [Problem("baseline", f"{origin} is impossible: {error}")]
    return []


def _mixed_tokenizers(space: Space, references: Iterable[PipelineSpec]) -> list[Problem]:
    """Return a problem where contexts would be counted by different tokenizers, which nobody can compare."""
    names = {spec.packer.tokenizer for spec in references}
    for kind, parameters in space.tree["packer"].items():
        domain = parameters.get("tokenizer", Choice((lookup("packer", kind)().tokenizer,)))
        names |= {str(name) for name in domain.values} if isinstance(domain, Choice) else set()
    if len(names) == 1:
        return []
    what = "tokens of different tokenizers cannot be compared; name one, for the baseline too"
    return [Problem("packer.tokenizer", f"is {', '.join(sorted(names))}: {what}")]


def _missing_llm(space: Space) -> list[Problem]:
    """Return the kinds of the space that ask a language model, where none is configured."""
    slots = ("chunk_context", "query", "reranker", "generator")
    asking = [(slot, kind) for slot in slots for kind in space.tree[slot] if lookup(slot, kind).uses_llm]
    what = "needs a language model; llm=openai_compatible llm.base_url=… llm.model=… names one"
    return [Problem(f"space.{slot}.{kind}", what) for slot, kind in asking]


def _nothing_possible(space: Space, builder: PipelineBuilder) -> list[Problem]:
    """Return why none of some pipelines of the space can exist, if none can."""
    random, reasons = np.random.default_rng(0), Counter[str]()
    for _ in range(_DRAWN_PIPELINES):
        reason = builder.candidates.reason_impossible(space.draw(random))
        if not reason:
            return []
        reasons[reason] += 1
    return [Problem("space", f"no pipeline of it can exist: {reason}") for reason, _ in reasons.most_common(3)]


def describe_impossible_values(space: Space, builder: PipelineBuilder) -> list[str]:
    """Return the values of the space that no pipeline can have, each with the reason: they are never tried."""
    random, found = np.random.default_rng(0), dict[tuple[str, str, str], str]()
    for slot, by_kind in space.tree.items():
        for kind, parameters in by_kind.items():
            for name, domain in parameters.items():
                for value in domain.values if isinstance(domain, Choice) else (domain.low, domain.high):
                    reason = _find_reason(space, builder, slot, kind, {name: value}, random)
                    if reason:  # one of a kind's fixed settings may rule out all values of the others
                        found.setdefault((slot, kind, reason), f"space.{slot}.{kind}.{name}={value}")
    return [f"{where} is never tried: {reason}" for (_, _, reason), where in found.items()]


def _find_reason(
    space: Space, builder: PipelineBuilder, slot: str, kind: str, fixed: dict[str, Scalar], random: np.random.Generator
) -> str:
    """Return why no pipeline with these settings of a kind can exist; empty where one of some drawn ones can."""
    reasons = Counter[str]()
    for _ in range(_DRAWN_FOR_A_VALUE):
        settings = {**space.draw_settings(slot, kind, random), **fixed}
        reason = builder.candidates.reason_impossible({**space.draw(random), slot: {kind: settings}})
        if not reason:
            return ""
        reasons[reason] += 1
    return reasons.most_common(1)[0][0]


def _too_long_chunks(space: Space, models: SpaceModels, builder: PipelineBuilder) -> Iterator[Problem]:
    """Yield the chunkers whose smallest size is more than any model of the space reads."""
    retrievers = space.tree["retriever"]
    if not any("dense" in lookup("retriever", kind)().index_queries() for kind in retrievers):
        return  # words are found in chunks of any size
    readable = [card.reads_tokens for card in _readable_cards(models, builder.cards)]
    for kind, parameters in space.tree["chunker"].items():
        size = parameters.get("size")
        if size is None or not readable:
            continue
        smallest = min(size.values, key=_number) if isinstance(size, Choice) else size.low
        if isinstance(smallest, int) and smallest > max(readable):
            what = f"the smallest size is {smallest} tokens, but no model of the space reads more than {max(readable)}"
            yield Problem(f"space.chunker.{kind}.size", what)


def _readable_cards(models: SpaceModels, cards: EmbedderCards) -> Iterator[EmbedderCard]:
    for name in models.embedders:
        try:
            yield cards.read(name)
        except BadInput:  # reported already
            continue


def _number(value: Scalar) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _missing_comparison_models(models: SpaceModels, builder: PipelineBuilder) -> Iterator[Problem]:
    """Yield the models that objectives compare answers by, and that have no card."""
    for name, kind in models.compared.items():
        try:
            builder.encoder(name)
        except BadInput as error:
            yield from (Problem(f"objective {kind}.similarity_model", problem.what) for problem in error.problems)


def find_llm_problems(generator: LanguageModel, judge: Judge, budget: Budget) -> list[Problem]:
    """Return what language models lack to be asked, secrets that would be written down, a cap that counts nothing."""
    problems = [*find_misconfigurations(generator, "llm"), *find_misconfigurations(judge, "judge")]
    for where, model in (("llm", generator), ("judge", judge)):
        if model.kind == "litellm" and not has_litellm():
            problems.append(Problem(where, f"is asked by LiteLLM, which is not installed: {LITELLM_EXTRA}"))
    asked = [model for model in (generator, resolve_judge(judge, generator)) if model.configured]
    if budget.usd is not None and asked and not any(model.priced for model in asked):
        what = "is a cap on dollars, but no price is known: llm.usd_per_million_input_tokens=…, …_output_tokens=…"
        problems.append(Problem("budget.usd", what))
    return problems


def describe_unpriced_models(generator: LanguageModel, judge: Judge, budget: Budget) -> list[str]:
    """Return a note for each model whose calls a cap on dollars does not count."""
    models = {"llm": generator, "judge": resolve_judge(judge, generator)}
    free = [name for name, model in models.items() if model.configured and not model.priced]
    if budget.usd is None:
        return []
    return [
        f"budget.usd counts nothing for {name}: no price is known ({name}.usd_per_million_…_tokens)" for name in free
    ]


def describe_cut_questions(dataset: Dataset, models: SpaceModels, builder: PipelineBuilder) -> list[str]:
    """Return a note for each model that reads only the beginning of some questions.

    Raises BadInput with every model whose files are not to be had.
    """
    notes, problems = list[str](), list[Problem]()
    for name in models.embedders:
        encoder = builder.encoder(name)
        if encoder.card.lacks_address:  # reported already
            continue
        try:
            cut = int(encoder.longer_than_read([question.text for question in dataset.questions], "query").sum())
        except BadInput as error:
            problems += error.problems
            continue
        if cut:
            limit = f"{name} reads ({encoder.query_tokens} tokens)"
            notes.append(f"{cut} questions are longer than {limit}; it reads no more")
    if problems:
        raise BadInput(problems)
    return notes


def describe_downloads(models: SpaceModels, embedders: EmbedderCards, rerankers: CardLibrary[RerankerCard]) -> str:
    """Return, in words, the models of a search that are not on this machine; empty where all are."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:  # then nothing is downloaded, and what is missing is a problem
        return ""
    missing: dict[str, int | None] = {}
    for card in models.cards(embedders, rerankers):
        size = card.download_bytes
        if size != 0:
            missing[card.id] = size
    sizes = {model: "of unknown size" if size is None else f"{size / 1e6:,.0f} MB" for model, size in missing.items()}
    return (
        "downloading from the hub: " + ", ".join(f"{model} ({size})" for model, size in sizes.items()) if sizes else ""
    )
