"""Evidence confirmed by a person, in the terminal or on a small page that only this machine can open."""

from __future__ import annotations

import html
import http.server
import secrets
import urllib.parse
from collections.abc import Callable, Sequence

from rich.console import Console

from rag_opt.core.documents import Corpus, Span
from rag_opt.core.questions import Question
from rag_opt.testset.evidence import Decision

_HELP = "numbers of the passages that answer it (1 3), n: none does, s: skip, q: stop"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Evidence</title><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
label{{display:block;border:1px solid #8888;border-radius:.5rem;padding:.7rem 1rem;margin:.7rem 0;white-space:pre-wrap}}
label:has(input:checked){{border-color:#0a0;background:#0a01}}small{{color:#666}}
button{{font:inherit;padding:.4rem 1rem}}
h1{{font-size:1.3rem}}</style><body>{body}</body></html>"""


class InTerminal:
    """Shows each question with its candidates and reads numbers."""

    def __init__(self, corpus: Corpus, person: str, *, console: Console, ask: Callable[[str], str] = input) -> None:
        self._corpus, self._console, self._ask = corpus, console, ask
        self.origin = f"evidence by {person}"

    def label(
        self, questions: Sequence[Question], candidates: Sequence[Sequence[Span]], done: Callable[[int, Decision], None]
    ) -> None:
        for row, (question, spans) in enumerate(zip(questions, candidates, strict=True)):
            say = self._console.print
            say(f"\n[bold]{row + 1} of {len(questions)}[/]  ", end="")
            say(question.text, markup=False, style="bold")
            for number, span in enumerate(spans, start=1):
                say(f"\n {number}  {span.document_id} [{span.start}, {span.end})", style="cyan", markup=False)
                say(self._corpus.text(span).strip(), markup=False)
            decision = self._decided(spans)
            if decision == "stop":
                return
            done(row, None if decision == "skip" else decision)  # type: ignore[arg-type]  # the words are gone

    def _decided(self, spans: Sequence[Span]) -> Decision | str:
        while True:
            try:
                said = self._ask(f"\n{_HELP}\n> ").strip().lower()
            except EOFError:  # Ctrl-D
                said = "q"
            if said in ("q", "s", "n"):
                return {"q": "stop", "s": "skip", "n": ()}[said]  # type: ignore[return-value]
            numbers = said.replace(",", " ").split()
            if numbers and all(one.isdigit() and 1 <= int(one) <= len(spans) for one in numbers):
                return alternatives([spans[int(one) - 1] for one in numbers])
            self._console.print(f"{said!r} is none of that", style="yellow")


def alternatives(spans: Sequence[Span]) -> Decision:
    """Passages that a person named: any one of them will do."""
    return (tuple(dict.fromkeys(spans)),)


class OnPage:
    """A page on this machine, one question at a time; its address holds a token that nobody else knows."""

    def __init__(self, corpus: Corpus, person: str, *, port: int, told: Callable[[str], None]) -> None:
        self._corpus, self._port, self._told = corpus, port, told
        self.origin = f"evidence by {person}"

    def label(
        self, questions: Sequence[Question], candidates: Sequence[Sequence[Span]], done: Callable[[int, Decision], None]
    ) -> None:
        """Returns when all questions were looked at, or a person ended it."""
        page = _Pages(self._corpus, questions, candidates, done)
        token = secrets.token_urlsafe(12)

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 2  # browsers open connections that they may need later

            def do_GET(self) -> None:
                self._answer(page.shown())

            def do_POST(self) -> None:
                if self._allowed():
                    length = min(int(self.headers.get("Content-Length") or 0), 1_000_000)
                    page.take(urllib.parse.parse_qs(self.rfile.read(length).decode()))
                self._answer(page.shown())

            def _allowed(self) -> bool:
                # the token keeps other pages of the same browser out, the host those that claim this address
                host = self.headers.get("Host", "").rpartition(":")[0]
                return self.path.strip("/") == token and host in ("127.0.0.1", "localhost")

            def _answer(self, body: str) -> None:
                raw = _PAGE.format(body=body if self._allowed() else "Not here.").encode()
                self.send_response(200 if self._allowed() else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.HTTPServer(("127.0.0.1", self._port), Handler) as server:
            self._told(f"open http://127.0.0.1:{server.server_port}/{token} (Ctrl-C ends it; what was said is kept)")
            while not page.over:
                server.handle_request()


class _Pages:
    def __init__(
        self,
        corpus: Corpus,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[Span]],
        done: Callable[[int, Decision], None],
    ) -> None:
        self._corpus, self._questions, self._candidates, self._done = corpus, questions, candidates, done
        self._row = 0
        self.over = not questions

    def take(self, form: dict[str, list[str]]) -> None:
        """What a person said of the question that the form names; of any other it comes too late."""
        if self.over or form.get("row") != [str(self._row)]:
            return
        said = form.get("say", [""])[0]
        if said == "stop":
            self.over = True
            return
        spans = self._candidates[self._row]
        chosen = [spans[int(one)] for one in form.get("span", []) if one.isdigit() and int(one) < len(spans)]
        if said == "these" and not chosen:
            return
        decision: Decision = {"none": (), "these": alternatives(chosen)}.get(said)
        self._done(self._row, decision)
        self._row += 1
        self.over = self._row >= len(self._questions)

    def shown(self) -> str:
        if self.over:
            return "<h1>Thank you. That was all; you can close this page.</h1>"
        question, spans = self._questions[self._row], self._candidates[self._row]
        boxes = "".join(
            f'<label><input type="checkbox" name="span" value="{number}"> <small>{html.escape(span.document_id)} '
            f"[{span.start}, {span.end})</small>\n{html.escape(self._corpus.text(span).strip())}</label>"
            for number, span in enumerate(spans)
        )
        answer = f"<p>Answer: {html.escape(question.reference_answer)}</p>" if question.reference_answer else ""
        names = {"these": "These answer it", "none": "None does", "skip": "Skip", "stop": "Stop here"}
        buttons = " ".join(f'<button name="say" value="{value}">{name}</button>' for value, name in names.items())
        head = f"<small>{self._row + 1} of {len(self._questions)}</small><h1>{html.escape(question.text)}</h1>{answer}"
        return f'<form method="post">{head}<input type="hidden" name="row" value="{self._row}">{boxes}{buttons}</form>'
