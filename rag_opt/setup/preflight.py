"""Whether what was read fits together on this machine: models, chunk sizes, the baseline."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from rag_opt.core import strict as config
from rag_opt.core.errors import BadInput, ImpossiblePipeline, Problem
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary, ModelCard
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.llm.budget import Budget
from rag_opt.models.llm.settings import Judge, LanguageModel, find_misconfigurations, resolved, written_address
from rag_opt.models.remote_code import allowed_code, code_name
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.cost.forecaster import model_names
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.references import reference_pipelines
from rag_opt.study.space.domains import Choice
from rag_opt.study.space.space import Space

_DRAWN = 300  # pipelines of a space that are looked at


def impossible(space: Space, baseline: PipelineSpec, builder: PipelineBuilder) -> list[Problem]:
    """The baseline must be possible, every named model must have a card, and every chunk size must fit one of them."""
    problems: list[Problem] = []
    cards = {}
    for name in model_names(space):
        try:
            cards[name] = builder.encoder(name).card
            problems += _cannot_run(name, cards[name], builder)
        except BadInput as error:
            problems += [Problem("space.embedder.model.name", problem.what) for problem in error.problems]
    problems += _rerankers(space, builder)
    for what, spec in (reference_pipelines(baseline) if not problems else {}).items():
        try:
            builder.check(spec)
        except (ImpossiblePipeline, BadInput) as error:
            problems.append(Problem("baseline", f"{what} is impossible: {error}"))
            break
    problems += _without_a_model(space, builder)
    if not problems:
        problems += _nothing_possible(space, builder)
    most = max((card.reads_tokens for card in cards.values()), default=0)
    for kind, parameters in space.tree["chunker"].items():
        size = parameters.get("size")
        if size is None:
            continue
        smallest = min(size.values, key=_number) if isinstance(size, Choice) else size.low
        if cards and isinstance(smallest, int) and smallest > most:
            what = f"the smallest size is {smallest} tokens, but no model of the space reads more than {most}"
            problems.append(Problem(f"space.chunker.{kind}.size", what))
    return problems


def _nothing_possible(space: Space, builder: PipelineBuilder) -> list[Problem]:
    """Why none of some pipelines of the space can exist, if none can."""
    random, whys = np.random.default_rng(0), Counter[str]()
    for _ in range(_DRAWN):
        why = builder.why_not(space.draw(random))
        if not why:
            return []
        whys[why] += 1
    return [Problem("space", f"no pipeline of it can exist: {why}") for why, _ in whys.most_common(3)]


def _rerankers(space: Space, builder: PipelineBuilder) -> list[Problem]:
    """Every reranker of the space with every model it names must be able to run."""
    problems = []
    for kind, parameters in space.tree["reranker"].items():
        part, domain = lookup("reranker", kind), parameters.get("name")
        if not hasattr(part, "check"):
            continue
        named: list[dict[str, Any]] = [{"name": name} for name in domain.values] if isinstance(domain, Choice) else [{}]
        for settings in named:
            where = f"space.reranker.{kind}"
            try:
                part(**settings).check(builder.rerankers, builder.cards)
                if kind == "cross_encoder":
                    card = builder.rerankers.read(part(**settings).name)
                    problems += _code_not_allowed(card, f"{where}.name", builder)
                    if not card.custom_code:
                        card.folder  # noqa: B018  # it is fetched now, or refused
            except BadInput as error:
                problems += [Problem(where, problem.what) for problem in error.problems]
            except ImpossiblePipeline as error:
                problems.append(Problem(where, str(error)))
    return problems


def _code_not_allowed(card: ModelCard, where: str, builder: PipelineBuilder) -> list[Problem]:
    name = code_name(card)
    if not card.custom_code or allowed_code(card, builder.machine.allow_code):
        return []
    allow = f"embedder.allow_code=[{name}]" if name else "a revision in its card and embedder.allow_code"
    return [
        Problem(where, f"{card.id} needs its own code: serve it by text-embeddings-inference, or allow it by {allow}")
    ]


def _cannot_run(name: str, card: EmbedderCard, builder: PipelineBuilder) -> list[Problem]:
    """What keeps a model from running that its card alone can say."""
    where = f"embedder.cards.{name}"
    wrong = list(written_address(card.url, f"{where}.url")) if card.url is not None else []
    if wrong:
        return wrong
    if card.served and card.url is None:
        what = f"backend {card.backend} needs the address of its server: +{where}.url=http://… (docs/models.md)"
        return [Problem(f"{where}.url", f"{what}; or name only others in space.embedder")]
    if card.url is not None and not card.served:
        return [
            Problem(f"{where}.url", f"is {card.url}, but by its backend it runs here: +{where}.backend=tei (or openai)")
        ]
    return [] if card.served else _code_not_allowed(card, where, builder)


def find_llm_problems(generator: LanguageModel, judge: Judge, budget: Budget) -> list[Problem]:
    """What language models lack to be asked, secrets that would be written down, a cap that counts nothing."""
    problems = [*find_misconfigurations(generator, "llm"), *find_misconfigurations(judge, "judge")]
    asked = [one for one in (generator, resolved(judge, generator)) if one.kind == "openai_compatible"]
    if budget.usd is not None and asked and not any(one.priced for one in asked):
        what = "is a cap on dollars, but no price is known: llm.usd_per_million_input_tokens=…, …_output_tokens=…"
        problems.append(Problem("budget.usd", what))
    return problems


def find_unpriced_models(generator: LanguageModel, judge: Judge, budget: Budget) -> list[str]:
    """Whose calls a cap on dollars does not count."""
    models = {"llm": generator, "judge": resolved(judge, generator)}
    free = [name for name, one in models.items() if one.kind == "openai_compatible" and not one.priced]
    if budget.usd is None:
        return []
    return [
        f"budget.usd counts nothing for {name}: no price is known ({name}.usd_per_million_…_tokens)" for name in free
    ]


def _without_a_model(space: Space, builder: PipelineBuilder) -> list[Problem]:
    """Kinds of the space that ask a language model, where none is configured."""
    if builder.llm_client is not None:
        return []
    slots = ("query", "reranker", "generator")
    asking = [(s, k) for s in slots for k in space.tree[s] if "model" in lookup(s, k).requires]
    what = "needs a language model; llm=openai_compatible llm.base_url=… llm.model=… names one"
    return [Problem(f"space.{slot}.{kind}", what) for slot, kind in asking]


def _similarity_models(objective_set: ObjectiveSet) -> dict[str, str]:
    """The names of the models that objectives compare with, and which objective does."""
    names = {getattr(one, "similarity_model", None): one.kind for one in objective_set.objectives(finalist=True)}
    return {name: kind for name, kind in names.items() if name is not None}


def missing_models(objective_set: ObjectiveSet, builder: PipelineBuilder) -> list[Problem]:
    problems = []
    for name, kind in _similarity_models(objective_set).items():
        try:
            builder.encoder(name)
        except BadInput as error:
            problems += [Problem(f"objective {kind}.similarity_model", problem.what) for problem in error.problems]
    return problems


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def read_in_part(dataset: Dataset, space: Space, builder: PipelineBuilder) -> list[str]:
    """A note per model that reads only the beginning of some questions. Raises BadInput with every model whose files
    are not to be had.
    """
    notes, problems = list[str](), list[Problem]()
    for name in model_names(space):
        encoder = builder.encoder(name)
        if encoder.card.served and encoder.card.url is None:  # said already
            continue
        try:
            cut = int(encoder.longer_than_read([question.text for question in dataset.questions], "query").sum())
        except BadInput as error:  # its files are not to be had
            problems += error.problems
            continue
        if cut:
            notes.append(
                f"{cut} questions are longer than {name} reads ({encoder.query_tokens} tokens); it reads no more"
            )
    if problems:
        raise BadInput(problems)
    return notes


def reranker_names(space: Space, rerankers: CardLibrary[RerankerCard]) -> list[str]:
    """Names of the cards of rerankers that the space can choose; of late_interaction those that are no embedder's."""
    names: list[str] = []
    for kind, parameters in space.tree["reranker"].items():
        part = lookup("reranker", kind)
        if "name" not in config.field_names(part):
            continue
        domain = parameters["name"] if "name" in parameters else Choice((part().name,))
        mine = [str(name) for name in domain.values] if isinstance(domain, Choice) else []
        names += [name for name in mine if kind != "late_interaction" or name in rerankers.names()]
    return list(dict.fromkeys(names))


def downloads(
    space: Space,
    baseline: PipelineSpec,
    objective_set: ObjectiveSet,
    cards: EmbedderCards,
    rerankers: CardLibrary[RerankerCard],
) -> str:
    """In words, the models of a search that are not on this machine; empty where all are."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:  # then nothing is, and what is missing is a problem
        return ""
    embedders = dict.fromkeys([*model_names(space), baseline.embedder.name, *_similarity_models(objective_set)])
    wanted: list[Callable[[], ModelCard]] = [functools.partial(cards.read, name) for name in embedders]
    wanted += [functools.partial(rerankers.read, name) for name in reranker_names(space, rerankers)]
    missing: dict[str, int | None] = {}
    for read in wanted:
        with contextlib.suppress(BadInput):  # a card that is not there is reported with everything else
            card = read()
            size = card.download_bytes
            if size != 0:
                missing[card.id] = size
    sizes = {model: "of unknown size" if size is None else f"{size / 1e6:,.0f} MB" for model, size in missing.items()}
    return "from the hub: " + ", ".join(f"{model} ({size})" for model, size in sizes.items()) if sizes else ""
