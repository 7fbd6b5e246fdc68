"""The model card of a bundle: what a person wants to know before it answers other people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rag_opt.core.strict import PlainDict
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_layout import MODEL_CARD
from rag_opt.production.manifest import Manifest, ModelIdentity
from rag_opt.production.stored_questions import HELD_OUT, OBJECTIVE, SEARCH

_FIRST = (OBJECTIVE, "retrieval/evidence_recall", "retrieval/evidence_dcg", "retrieval/ndcg_at_10")
_PARTS = {
    HELD_OUT: "Questions that the search never saw",
    SEARCH: "Questions that the search chose it by (flattering: it is the best of many on them)",
}


def write_model_card(folder: Path, spec: PipelineSpec, manifest: Manifest) -> None:
    """Write the card of a bundle in Markdown."""
    lines = [*_opening(manifest), *_scores(manifest), *_models(manifest), *_pipeline(spec), *_use(manifest)]
    (folder / MODEL_CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _opening(manifest: Manifest) -> Iterator[str]:
    of = f"trial {manifest.trial} of the study `{manifest.study}`" if manifest.trial is not None else "a pipeline"
    yield "# A RAG pipeline, ready to answer"
    yield ""
    yield f"This folder holds {of}, with the documents, the index and everything else that it answers with."
    dataset = manifest.dataset
    if dataset:
        yield (
            f"It answers from **{dataset.get('documents')} documents** of the data set `{dataset.get('name')}` "
            f"(digest `{dataset.get('corpus')}`), and nothing else: what does not stand in them it cannot know."
        )
    yield from (f"- {origin}" for origin in manifest.questions)
    if manifest.made_from:
        yield ""
        yield f"It was updated from another bundle: {manifest.made_from.get('said', '')}"


def _scores(manifest: Manifest) -> Iterator[str]:
    measured, gain = manifest.scores.get("metrics") or {}, manifest.scores.get("gain")
    if not measured and not gain:
        return
    yield ""
    yield "## What was measured"
    yield ""
    if manifest.scores.get("objective"):
        yield f"The search optimised `{manifest.scores['objective']}` (`{OBJECTIVE}` below)."
    if gain:
        yield f"Against the baseline (trial {gain['baseline']}), on questions that the search never saw: {_gain(gain)}."
    for part, title in _PARTS.items():
        if part in measured:
            yield from (
                "",
                f"### {title}",
                "",
                "| metric | mean | 95 % interval | questions |",
                "| --- | --- | --- | --- |",
            )
            yield from (_row(name, measured[part][name]) for name in _ordered(measured[part]))
    yield ""
    yield (
        "Intervals are over clusters of questions that belong together. Other questions, other documents or other "
        "people may be served better or worse than these."
    )


def _gain(gain: PlainDict) -> str:
    if gain["mean"] is None:
        return "no gain is known"
    ends = "" if gain["low"] is None else f", 95 % interval [{gain['low'] * 100:+.1f}, {gain['high'] * 100:+.1f}]"
    return f"{gain['mean'] * 100:+.1f} points{ends}, about {gain['claim']}; verdict: {gain['verdict']}"


def _ordered(metrics: PlainDict) -> list[str]:
    return [*(name for name in _FIRST if name in metrics), *(name for name in metrics if name not in _FIRST)]


def _row(name: str, score: PlainDict) -> str:
    ends = "" if score["low"] is None else f"[{score['low']:.3f}, {score['high']:.3f}]"
    return f"| `{name}` | {score['mean']:.3f} | {ends} | {score['questions']} |"


def _models(manifest: Manifest) -> Iterator[str]:
    if not manifest.models:
        return
    yield from (
        "",
        "## Models and licences",
        "",
        "| role | model | revision | licence | runs |",
        "| --- | --- | --- | --- | --- |",
    )
    yield from (_model(model, manifest) for model in manifest.models)


def _model(model: ModelIdentity, manifest: Manifest) -> str:
    inside = "here, from a copy in this folder" if manifest.carries_weights or manifest.carries_model else "here"
    runs = f"at {model.url}" if model.url else f"{inside}, {len(model.files)} files hashed in manifest.json"
    licence = model.licence or "not known"
    commercial = "" if model.commercial_use else " (no commercial use)"
    return f"| {model.role} | {model.id} | {model.revision or 'not pinned'} | {licence}{commercial} | {runs} |"


def _pipeline(spec: PipelineSpec) -> Iterator[str]:
    yield from ("", "## The pipeline", "", "| slot | part | settings |", "| --- | --- | --- |")
    for slot, kinds in spec.to_dict().items():
        for kind, settings in kinds.items():
            told = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
            yield f"| {slot} | {kind} | {told} |"


def _use(manifest: Manifest) -> Iterator[str]:
    yield from ("", "## Use", "")
    yield from ("```python", "import rag_opt", "", 'reply = rag_opt.load("this/folder").ask("…")', "```", "")
    yield from ("```sh", "pip install --no-deps -r requirements.txt   # exact versions; then the wheel of rag_opt")
    yield from ("python -m rag_opt.serve this/folder            # a service with a page to ask on", "```")
    if manifest.requires_filter:
        yield ""
        yield f"Every question must name {' and '.join(f'`{name}`' for name in manifest.requires_filter)} as a filter."
    if manifest.plugins:
        yield ""
        yield f"Its parts come from {', '.join(manifest.plugins)}: `load(…, plugins={manifest.plugins!r})` allows them."
