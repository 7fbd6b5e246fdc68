"""The report's page: template, style and script, put together to one file that opens offline."""

from __future__ import annotations

import base64
import functools
import gzip
import importlib.util
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path

import orjson

from rag_opt.core.errors import RagOptError
from rag_opt.core.strict import PlainMapping
from rag_opt.report.contents import Contents, Text
from rag_opt.report.headline import write_headline
from rag_opt.report.payload import build_payload
from rag_opt.study.descriptions import describe

PAGE = "report.html"  # in the folder of its study
MOST_BYTES = 6_000_000
_FEWER_HITS = (50, 5, 2, 0)  # of which passages are kept, tried one after the other until the page is small enough
_FEW_MODELS = 4  # with a published score: fewer say nothing of a leaderboard
_NO_TEXTS = "the report has no texts: tracking.content leaves them out"
_FEWER_TEXTS = "passages are kept of the first {hits} hits of each question, so that the page stays below 6 MB"
_NOT_AT_HAND = "the documents are not at hand, so no passage is shown"


def render_page(contents: Contents, text: Text | None, *, texts: bool = True) -> str:
    """Return the report of a study as HTML of at most 6 MB, where its own figures take no more.

    `text`: returns what stands in a document; None where they are not at hand. `texts` False: nothing that questions,
    answers and documents say is in it.
    """
    page = ""
    for hits in _FEWER_HITS:
        payload = build_payload(contents, text, texts=texts, most_hits=hits)
        notes = [] if texts else [_NO_TEXTS]
        notes += [_NOT_AT_HAND] if texts and text is None else []
        notes += [_FEWER_TEXTS.format(hits=hits)] if hits != _FEWER_HITS[0] and text is not None else []
        page = _fill(contents, payload, notes, texts=texts)
        if len(page.encode()) <= MOST_BYTES or text is None or not texts:
            break
    return page


def _fill(contents: Contents, payload: PlainMapping, notes: Sequence[str], *, texts: bool) -> str:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_read("page.html.j2"))
    known = [one for one in payload["models"] if one["published"] is not None]
    growth = contents.grown
    advice = [one for one in contents.advice if texts or one.topic != "questions with wrong evidence"]
    return template.render(
        head=write_headline(contents),
        css=Markup(_read("page.css")),
        js=Markup(_read("page.js")),
        advice=advice,
        growth=None if growth is None else f"{growth['said']}." if growth["said"] else " ",
        models=len(known) >= _FEW_MODELS,
        price=_describe_price(contents),
        effects_table=_effects_table(contents),
        trials_table=_trials_table(contents),
        notes=[*(contents.facts.get("notes", ()) if texts else ()), *notes],  # notes quote what was left out
        data=_pack(orjson.dumps(payload)),
        plotly=_plotly(),
    )


def _describe_price(contents: Contents) -> str:
    """Return what the objective takes off for a long context, so that a gain is seen with it."""
    objective: PlainMapping = contents.composed.get("objective") or {}
    settings = (objective.get("auto") or {}).get(contents.objective) or objective.get("optimise") or {}
    price = settings.get("price_per_1000_tokens") if isinstance(settings, dict) else None
    if not price:
        return ""
    return f"{contents.objective} has a price: {price:g} is taken off for every 1,000 tokens of context."


@functools.cache
def _read(name: str) -> str:
    return (resources.files(__name__) / name).read_text()


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


@functools.cache
def _plotly() -> str:
    """Return Plotly's script, compressed, of the package plotly; it is not imported, which takes a second."""
    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise RagOptError("the report draws with plotly; pip install plotly")
    return _pack((Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes())


def _effects_table(contents: Contents) -> str:
    """Return the choices of each setting as a table: what the chart shows, for whoever cannot see it."""
    rows: list[Sequence[object]] = []
    for effect in contents.effects:
        share = contents.importance.get(effect.path, 0.0)
        for level in effect.levels:
            gains = f"{level.gain * 100:+.2f} [{level.low * 100:+.2f}, {level.high * 100:+.2f}]"
            rows.append((effect.path, f"{share:.0%}", level.name, level.trials, gains))
    if not rows:
        return "<p>Too few trials to tell.</p>"
    table = _table(("setting", "importance", "choice", "trials", "gain in points, 95 % interval"), rows)
    return f"<details><summary>as a table</summary>{table}</details>"


def _trials_table(contents: Contents) -> str:
    shown: list[Sequence[object]] = []
    for trial in contents.study.trials:
        value = "–" if trial.value is None else f"{trial.value:.4f}"
        error = "" if trial.error is None else f"±{trial.error:.4f}"
        state = trial.state.lower() if not trial.reason else f"{trial.state.lower()}: {trial.reason.splitlines()[0]}"
        shown.append((trial.number, value, error, trial.origin, describe(trial.spec), f"{trial.seconds:.1f} s", state))
    return _table(("trial", contents.objective, "error", "proposed by", "pipeline", "time", "state"), shown)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
