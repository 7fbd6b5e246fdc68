"""Evidence confirmed by a person, in the terminal or on a small page that only this machine can open."""

from __future__ import annotations

import html
import http.server
import secrets
import urllib.parse
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console

from rag_opt.core.documents import Corpus, Span
from rag_opt.core.questions import Question
from rag_opt.testset.evidence import Candidates, Decision, OnDecision

_HELP = (
    "numbers of the passages that answer it, as 1 3 · n: not among these · d: not in the documents · "
    "m: more passages · s: skip, for now · q: stop"
)
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Evidence</title><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
label{{display:block;border:1px solid #8888;border-radius:.5rem;padding:.7rem 1rem;margin:.7rem 0;white-space:pre-wrap}}
label:has(input:checked){{border-color:#0a0;background:#0a01}}small{{color:#666}}
button{{font:inherit;padding:.4rem 1rem}}kbd{{color:#666}}
footer{{position:sticky;bottom:0;background:Canvas;padding:.7rem 0;border-top:1px solid #8888}}
h1{{font-size:1.3rem}}</style><body>{body}</body></html>"""
_MAX_FORM_BYTES = 1_000_000


class _Stopped(Exception):
    """The person wants to stop."""


class TerminalLabeller:
    """A person who reads each question with its candidates in the terminal, and types numbers."""

    def __init__(self, corpus: Corpus, person: str, *, console: Console, ask: Callable[[str], str] = input) -> None:
        self._corpus, self._console, self._ask = corpus, console, ask
        self.who = person

    def label(self, questions: Sequence[Question], candidates: Candidates, on_decision: OnDecision) -> None:
        """Ask for each question until all are decided or the person stops."""
        progress = Progress(len(questions))
        for row, question in enumerate(questions):
            self._console.print(f"\n[bold]{progress.describe(row)}[/]")
            self._console.print(question.text, markup=False, style="bold")
            if question.right_answers:
                self._console.print(f"answer: {' | '.join(question.right_answers)}", markup=False, style="dim")
            try:
                decision = self._decide(row, candidates)
            except _Stopped:
                return
            progress.count(decision)
            on_decision(row, decision)

    def _decide(self, row: int, candidates: Candidates) -> Decision:
        """Return what the person types. Raises _Stopped."""
        spans = candidates[row]
        self._show(spans, first=0)
        while True:
            try:
                typed = self._ask(f"\n{_HELP}\n> ").strip().lower()
            except EOFError:  # Ctrl-D
                typed = "q"
            if typed == "q":
                raise _Stopped
            if typed in _ANSWERS:
                return _ANSWERS[typed]
            if typed == "m":
                shown, spans = len(spans), candidates.find_more(row)
                self._show(spans, first=shown)
                if len(spans) == shown:
                    self._console.print("there are no more passages", style="yellow")
                continue
            numbers = typed.replace(",", " ").split()
            if numbers and all(number.isdigit() and 1 <= int(number) <= len(spans) for number in numbers):
                return to_alternatives([spans[int(number) - 1] for number in numbers])
            self._console.print(f"{typed!r} is none of that", style="yellow")

    def _show(self, spans: Sequence[Span], *, first: int) -> None:
        for number, span in enumerate(spans[first:], start=first + 1):
            place = f"\n {number}  {span.document_id} [{span.start}, {span.end})"
            self._console.print(place, style="cyan", markup=False)
            self._console.print(self._corpus.text(span).strip(), markup=False)


_ANSWERS: dict[str, Decision] = {"n": "not_shown", "d": "nowhere", "s": None}


class Progress:
    """How many questions were decided in which way."""

    def __init__(self, total: int) -> None:
        self._total, self._counts = total, Counter[str]()

    def count(self, decision: Decision) -> None:
        """Count a decision."""
        self._counts["skipped" if decision is None else decision if isinstance(decision, str) else "found"] += 1

    def describe(self, row: int) -> str:
        """Return where a person stands, at this question."""
        words = {"found": "with evidence", "not_shown": "not among those shown", "nowhere": "not in the documents"}
        words["skipped"] = "skipped"
        said = ", ".join(f"{self._counts[name]} {text}" for name, text in words.items() if self._counts[name])
        return f"question {row + 1} of {self._total}{f' · {said}' if said else ''}"


def to_alternatives(spans: Sequence[Span]) -> Decision:
    """Return the passages that a person named as one need: any one of them will do."""
    return (tuple(dict.fromkeys(spans)),)


class PageLabeller:
    """A person at a page on this machine, one question at a time.

    Its address holds a token that nobody else knows; `announce` is handed the address. `port` 0: any that is free.
    """

    def __init__(self, corpus: Corpus, person: str, *, port: int, announce: Callable[[str], None]) -> None:
        self._corpus, self._port, self._announce = corpus, port, announce
        self.who = person

    def label(self, questions: Sequence[Question], candidates: Candidates, on_decision: OnDecision) -> None:
        """Serve the page until all questions were looked at, or the person stops."""
        form = _Form(self._corpus, questions, candidates, on_decision)
        token = secrets.token_urlsafe(12)

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 2  # browsers open connections that they may need later

            def do_GET(self) -> None:
                self._reply(form.render())

            def do_POST(self) -> None:
                if self._is_allowed():
                    length = min(int(self.headers.get("Content-Length") or 0), _MAX_FORM_BYTES)
                    form.submit(urllib.parse.parse_qs(self.rfile.read(length).decode()))
                self._reply(form.render())

            def _is_allowed(self) -> bool:
                # the token keeps other pages of the same browser out, the host those that claim this address
                host = self.headers.get("Host", "").rpartition(":")[0]
                return self.path.strip("/") == token and host in ("127.0.0.1", "localhost")

            def _reply(self, body: str) -> None:
                raw = _PAGE.format(body=body if self._is_allowed() else "Not here.").encode()
                self.send_response(200 if self._is_allowed() else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.HTTPServer(("127.0.0.1", self._port), Handler) as server:
            address = f"http://127.0.0.1:{server.server_port}/{token}"
            self._announce(f"open {address} (Ctrl-C ends it; what was said is kept)")
            while not form.finished:
                server.handle_request()


class _Form:
    """The question that the page shows now, and what becomes of the person's answers."""

    def __init__(
        self, corpus: Corpus, questions: Sequence[Question], candidates: Candidates, on_decision: OnDecision
    ) -> None:
        self._corpus, self._questions, self._candidates = corpus, questions, candidates
        self._on_decision, self._progress = on_decision, Progress(len(questions))
        self._row = 0
        self._ticked = set[int]()  # before more passages were asked for
        self.finished = not questions

    def submit(self, fields: dict[str, list[str]]) -> None:
        """Take the person's answer to the question that the form names; to any other it comes too late."""
        if self.finished or fields.get("row") != [str(self._row)]:
            return
        button = fields.get("say", [""])[0]
        if button == "stop":
            self.finished = True
            return
        numbers = [int(value) for value in fields.get("span", []) if value.isdigit()]
        if button == "more":
            self._candidates.find_more(self._row)
            self._ticked = set(numbers)
            return
        spans = self._candidates[self._row]
        chosen = [spans[number] for number in numbers if number < len(spans)]
        if button not in _BUTTONS or (button == "these" and not chosen):
            return
        decision = to_alternatives(chosen) if button == "these" else _ANSWERS[_BUTTONS[button][1]]
        self._progress.count(decision)
        self._on_decision(self._row, decision)
        self._row, self._ticked = self._row + 1, set()
        self.finished = self._row >= len(self._questions)

    def render(self) -> str:
        """Return the body of the page."""
        if self.finished:
            return "<h1>Thank you. That was all; you can close this page.</h1>"
        question, spans = self._questions[self._row], self._candidates[self._row]
        boxes = "".join(
            f'<label><input type="checkbox" name="span" value="{number}"{" checked" * (number in self._ticked)}> '
            f"<strong>{number + 1}</strong> <small>{html.escape(span.document_id)} [{span.start}, {span.end})</small>\n"
            f"{html.escape(self._corpus.text(span).strip())}</label>"
            for number, span in enumerate(spans)
        )
        answers = html.escape(" | ".join(question.right_answers))
        answer = f"<p>Answer: {answers}</p>" if answers else ""
        buttons = " ".join(
            f'<button name="say" value="{value}" data-key="{key}">{name} <kbd>{key}</kbd></button>'
            for value, (name, key) in {**_BUTTONS, "more": ("More passages", "m"), "stop": ("Stop here", "q")}.items()
        )
        head = f"<small>{self._progress.describe(self._row)}</small><h1>{html.escape(question.text)}</h1>{answer}"
        return (
            f'<form method="post">{head}<input type="hidden" name="row" value="{self._row}">{boxes}'
            f"<footer>{buttons}</footer></form>{_KEYS}"
        )


_BUTTONS = {
    "these": ("These answer it", "Enter"),
    "not_shown": ("Not among these", "n"),
    "nowhere": ("Not in the documents", "d"),
    "skip": ("Skip, for now", "s"),
}
# digits choose passages, letters press the button that names them
_KEYS = """<script>addEventListener("keydown",e=>{if(e.ctrlKey||e.metaKey||e.altKey)return;
const box=document.querySelectorAll("input[type=checkbox]")[e.key-1];
const button=document.querySelector(`[data-key="${e.key}"]`);
if(box){box.checked=!box.checked}else if(button){e.preventDefault();button.click()}})</script>"""
