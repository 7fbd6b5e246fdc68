"""What to do next: each piece of advice with the figure that it comes from, and the override that tries it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rag_opt.core.strict import PlainMapping
from rag_opt.evaluation.outcomes import FOUND, Outcome
from rag_opt.pipeline.spec import SpecDict
from rag_opt.report.effects import Effect
from rag_opt.study.space.domains import Choice, Range
from rag_opt.study.space.space import Space

_FEW, _SHARE = 2, 0.02  # questions: what concerns fewer is no advice
_MOST = 6
_LARGE_GAIN = 0.15  # a smallest gain above it: whatever is found, these questions cannot tell
_SURE_EDGE = 0.0  # of the lower end of the gain of a level at the edge


@dataclass(frozen=True)
class Advice:
    """What to do, why, and how to try it. `worth`: at most so much of the objective, a share of 1."""

    topic: str
    text: str
    override: str
    worth: float


@dataclass(frozen=True)
class Findings:
    """What advice is derived from.

    `rows` of the winner with the outcome of each; `found_by_any`: by question id whether any trial's list has all of
    its evidence. `interval_width`: of the gain, None where there is none to tell. `truncated`: chunks of the winner
    that are longer than its model reads, `chunks` of all, `reads_tokens` how much it reads.
    `languages`: of its model, and that of the documents. `held_out`: questions of the interval; `smallest_gain` that
    so many can show, None where it is not known.
    """

    spec: SpecDict
    space: Space
    rows: Sequence[PlainMapping]
    outcomes: Sequence[Outcome]
    found_by_any: Mapping[str, bool]
    effects: Sequence[Effect]
    mean: float
    interval_width: float | None = None
    undecided: bool = False
    held_out: int = 0
    smallest_gain: float | None = None
    truncated: int = 0
    reads_tokens: int | None = None
    model_languages: Sequence[str] = ()
    language: str | None = None
    models_alike: Sequence[str] = ()
    smallest_model: str = ""


def derive_advice(findings: Findings) -> list[Advice]:
    """Return the advice that is worth most, the best first."""
    found = [
        *_of_outcomes(findings),
        *_of_wrong_evidence(findings),
        *_of_model(findings),
        *_of_edges(findings),
        *_of_interval(findings),
    ]
    return sorted(found, key=lambda one: -one.worth)[:_MOST]


def _kind(spec: SpecDict, slot: str) -> tuple[str, Mapping[str, object]]:
    ((kind, settings),) = spec[slot].items()
    return kind, settings


def _of_outcomes(findings: Findings) -> Iterator[Advice]:
    counts, total = Counter(findings.outcomes), len(findings.rows)
    for outcome, say in _BY_OUTCOME.items():
        own = [row for row, one in zip(findings.rows, findings.outcomes, strict=True) if one == outcome]
        if outcome in _OF_EVIDENCE:  # what no pipeline finds has another cause
            own = [row for row in own if findings.found_by_any.get(str(row["question_id"]), True)]
        if counts[outcome] and len(own) >= max(_FEW, _SHARE * total):
            lost = sum(1.0 - (row["objective/value"] or 0.0) for row in own) / total
            text, override = say(findings, own)
            yield Advice(outcome, text, override, lost)


def _lost_further_up(findings: Findings, path: str, value: float) -> bool:
    """Return whether larger values of a setting were tried, and none of them is better than its mean."""
    effect = next((one for one in findings.effects if one.path == path), None)
    higher = [level for level in effect.levels if _begin(level.name) > value] if effect is not None else []
    return bool(higher) and all(level.gain <= 0 for level in higher)


def _begin(name: str) -> float:
    """Return where a level begins, which is a number or a range of numbers; minus infinity for words."""
    try:
        return float(name.split("–", maxsplit=1)[0])
    except ValueError:
        return float("-inf")


def _lost(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, _ = _kind(findings.spec, "reader")
    return (
        f"evidence of {len(rows)} questions is lost by the reader {kind}: try others, and OCR for scans",
        "space.reader='{builtin: {}, ocr: {}}'",
    )


def _cut_apart(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, settings = _kind(findings.spec, "chunker")
    size = settings.get("size")
    text = f"evidence of {len(rows)} questions is cut apart: no chunk of {kind}"
    text += f" (size {size}) holds it whole; try larger chunks, or neighbours around a hit"
    larger = f"space.chunker.{kind}.size=[{size},{2 * int(str(size))}]" if isinstance(size, int) else ""
    return text, f"{larger} space.expander='{{none: {{}}, window: {{}}}}'".strip()


def _not_retrieved(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, settings = _kind(findings.spec, "retriever")
    depth = settings.get("depth")
    text = (
        f"evidence of {len(rows)} questions is not among the first {depth} of {kind}, though other pipelines found it"
    )
    if kind in ("dense", "exact"):
        return f"{text}: words may find what vectors do not", "only.retriever=[rrf,weighted]"
    return f"{text}: try another embedding model", "space.embedder.model.name=[minilm,bge_base_en_v1_5]"


def _ranked_too_low(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, settings = _kind(findings.spec, "retriever")
    ranks = sorted(int(row["places/list_rank"]) for row in rows if row["places/list_rank"] is not None)
    low, high = ranks[0], ranks[-1]
    text = f"evidence of {len(rows)} questions is found at ranks {low} to {high} (half of it by {median(ranks):.0f})"
    top_k = int(str(settings.get("top_k", 5)))
    if _lost_further_up(findings, f"retriever.{kind}.top_k", top_k):
        text += f", below the {top_k} that are read; a larger top_k was tried and is no better: rerank"
        return text, "space.reranker={none: {}, mmr: {}, cross_encoder: {name: ms_marco_minilm_l6_v2}}"
    return (
        f"{text}, below the {top_k} that are read: raise top_k, or rerank",
        f"space.retriever.{kind}.top_k={top_k}..{min(max(high, 2 * top_k), 3 * top_k + 10)}",
    )


def _cut_by_budget(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, settings = _kind(findings.spec, "packer")
    tokens = settings.get("context_tokens")
    text = f"evidence of {len(rows)} questions is retrieved, and the context of {tokens} tokens has no room for it"
    return text, f"space.packer.{kind}.context_tokens={2 * int(str(tokens or 0))}"


def _refused(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, settings = _kind(findings.spec, "generator")
    text = f"{len(rows)} questions are refused although their evidence is in the context"
    limit = settings.get("refuse_below")
    if isinstance(limit, int | float):
        return f"{text}: lower refuse_below from {limit:g}", f"space.generator.{kind}.refuse_below=0.0..{limit:g}:0.1"
    return f"{text}: try a prompt that refuses less", "space.generator.llm.prompt=[concise,grounded]"


def _answered_wrongly(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, settings = _kind(findings.spec, "generator")
    text = f"{len(rows)} questions are answered wrongly although their evidence is in the context"
    sentences = settings.get("sentences")
    if isinstance(sentences, int):
        more = f"space.generator.{kind}.sentences=[{sentences},{sentences + 1},{sentences + 2}]"
        return f"{text}: {sentences} sentences may not hold the answer; take more, or let a language model answer", more
    return f"{text}: try another prompt or model", "space.generator.llm.prompt=[concise,grounded,answer_or_refuse]"


def _answered_unanswerable(findings: Findings, rows: Sequence[PlainMapping]) -> tuple[str, str]:
    kind, settings = _kind(findings.spec, "generator")
    text = f"{len(rows)} questions that the documents do not answer are answered"
    limit = settings.get("refuse_below")
    if isinstance(limit, int | float) and _lost_further_up(findings, f"generator.{kind}.refuse_below", limit):
        tried = f"a higher refuse_below than {limit:g} was tried and loses more elsewhere"
        return f"{text}; {tried}: let a language model decide", "space=answering llm=openai_compatible"
    if isinstance(limit, int | float):
        return (
            f"{text}: raise refuse_below from {limit:g}, or let a language model decide",
            f"space.generator.{kind}.refuse_below={limit:g}..0.9:0.1",
        )
    return f"{text}: try a prompt that refuses", "space.generator.llm.prompt=[answer_or_refuse]"


_Say = Callable[[Findings, Sequence[PlainMapping]], tuple[str, str]]
_BY_OUTCOME: Mapping[Outcome, _Say] = {
    "evidence lost by the reader": _lost,
    "evidence cut apart": _cut_apart,
    "evidence not retrieved": _not_retrieved,
    "evidence ranked too low": _ranked_too_low,
    "evidence cut by the budget": _cut_by_budget,
    "refused wrongly": _refused,
    "answered wrongly": _answered_wrongly,
    "answered though unanswerable": _answered_unanswerable,
}
_OF_EVIDENCE = ("evidence cut apart", "evidence not retrieved")


def _of_wrong_evidence(findings: Findings) -> Iterator[Advice]:
    """Yield what to do where no pipeline at all finds the evidence: it may be wrong, or in another language."""
    never = [row for row in findings.rows if not findings.found_by_any.get(str(row["question_id"]), True)]
    total = len(findings.rows)
    if len(never) < max(_FEW, _SHARE * total):
        return
    lost = sum(1.0 - (row["objective/value"] or 0.0) for row in never) / total
    apart = sum((row["places/in_one_chunk"] or 0.0) < FOUND for row in never)
    if 2 * apart > len(never):
        text = f"evidence of {apart} questions is cut apart by every chunker tried: try larger chunks"
        yield Advice("evidence cut apart", text, "space.chunker.recursive.size=[224,448]", lost)
        return
    example = str(never[0]["question"])[:80]
    text = (
        f"evidence of {len(never)} questions is in no pipeline's list, whatever was tried: look whether it answers them"
    )
    text = f"{text} (“{example}”, …)"
    yield Advice("questions with wrong evidence", text, "python -m rag_opt.questions label", lost)


def _of_model(findings: Findings) -> Iterator[Advice]:
    kind, settings = _kind(findings.spec, "embedder")
    known = findings.model_languages
    if (
        kind != "none"
        and findings.language
        and known
        and findings.language not in known
        and "multilingual" not in known
    ):
        text = f"{settings.get('name')} reads {', '.join(known)}, and the documents are {findings.language}"
        yield Advice(
            "model of another language",
            f"{text}: try a multilingual model",
            "space.embedder.model.name=[multilingual_e5_large_instruct]",
            max(1.0 - findings.mean, 0.0),
        )
    if findings.truncated:
        chunker, own = _kind(findings.spec, "chunker")
        text = (
            f"{findings.truncated} chunks are longer than {settings.get('name')} reads ({findings.reads_tokens} tokens)"
        )
        largest = min(int(str(own.get("size") or 224)), findings.reads_tokens or 224)
        override = f"space.chunker.{chunker}.size=[96,160,{largest}]"
        yield Advice("chunks too large", f"{text}: what lies behind is not searched; cut smaller", override, 0.05)
    if len(findings.models_alike) > 1 and findings.smallest_model:
        names = ", ".join(findings.models_alike)
        text = f"{len(findings.models_alike)} embedding models cannot be told apart ({names})"
        yield Advice(
            "models alike",
            f"{text}: the smallest, {findings.smallest_model}, will do",
            f"space.embedder.model.name={findings.smallest_model}",
            0.01,
        )


def _of_edges(findings: Findings) -> Iterator[Advice]:
    """Yield where the best value of a range lies at its edge, and others of it are surely worse."""
    parameters = findings.space.parameters(findings.spec) or {}
    by_path = {effect.path: effect for effect in findings.effects}
    for path, (value, domain) in parameters.items():
        numbers = _numbers(domain)
        effect = by_path.get(path)
        if effect is None or len(numbers) < 2 or value not in (numbers[0], numbers[-1]):
            continue
        at_top = value == numbers[-1]
        own = effect.levels[-1] if at_top else effect.levels[0]
        if own.low <= _SURE_EDGE:
            continue
        further = _further(numbers, at_top=at_top)
        if further is None:
            continue
        text = (
            f"the best value of {path} lies at the edge ({value}): try {'up to' if at_top else 'down to'} {further:g}"
        )
        low, high = sorted((float(value), further))
        yield Advice("value at the edge", text, f"space.{path}={low:g}..{high:g}", own.gain)


def _numbers(domain: object) -> list[float]:
    if isinstance(domain, Range):
        return [domain.low, domain.high]
    if isinstance(domain, Choice):
        values = [one for one in domain.values if isinstance(one, int | float) and not isinstance(one, bool)]
        return sorted(values) if len(values) == len(domain.values) else []
    return []


def _further(numbers: Sequence[float], *, at_top: bool) -> float | None:
    """Return how far to go beyond an edge; None where there is nothing behind it (0, or 1 for shares)."""
    low, high = numbers[0], numbers[-1]
    if at_top:
        return None if low >= 0 and high == 1.0 else 2 * high
    return low / 2 if low > 1 else None


def _of_interval(findings: Findings) -> Iterator[Advice]:
    width, smallest = findings.interval_width, findings.smallest_gain
    if smallest is not None and smallest > _LARGE_GAIN and findings.held_out:
        shown = "no gain at all" if smallest == float("inf") else f"no gain below {smallest * 100:.0f} points"
        text = f"{findings.held_out} held-out questions can show {shown}: {3 * findings.held_out} more would halve that"
        override = "python -m rag_opt.questions make"
        yield Advice("too few questions", text, override, min(smallest, 1.0) / 2)
        return
    if width is None or not findings.undecided or not findings.held_out:
        return
    more = 3 * findings.held_out
    text = f"the interval of the gain is {width * 100:.0f} points wide: {more} more held-out questions would halve it"
    yield Advice("too few questions", text, "python -m rag_opt.questions make", width / 4)
