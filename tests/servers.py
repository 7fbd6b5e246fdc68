"""Model servers on loopback that answer as the real ones are documented to, errors included."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

Embed = Callable[[Sequence[str]], np.ndarray]
Reply = tuple[int, Any, dict[str, str]]


class Server:
    """What was asked is kept in `seen`; `faults` are answered first, one a request: (status, body, headers), or a
    number of seconds to hang, or None to break the connection.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: deque[Any] = deque()
        self.plan: Callable[[int], Any] = lambda number: "no"  # faults by the number of the request
        self.answered: list[Any] = []  # bodies
        self.came: list[float] = []
        self.at_once = self.most_at_once = 0
        self.key: str | None = None
        self.delay_s = 0.0
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, path: str, body: Any) -> Reply:
        raise NotImplementedError

    def handle(self, handler: http.server.BaseHTTPRequestHandler, body: Any) -> Reply | None:
        with self._lock:
            self.seen.append((handler.path, body))
            self.headers.append(dict(handler.headers))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.came.append(time.monotonic())
            fault = self.faults.popleft() if self.faults else self.plan(len(self.seen) - 1)
        try:
            time.sleep(self.delay_s)
            if fault is None:
                return None
            if fault != "no" and not isinstance(fault, (int, float)):
                return fault  # type: ignore[no-any-return]
            if fault != "no":
                time.sleep(fault)
            if self.key is not None and handler.headers.get("Authorization") != f"Bearer {self.key}":
                return 401, {"error": "who are you?"}, {}
            reply = self.answer(handler.path, body)
            if fault == "no":  # whoever was kept waiting is gone
                self.answered.append(body)
            return reply
        finally:
            with self._lock:
                self.at_once -= 1


@contextmanager
def serving(server: Server, *, tls: ssl.SSLContext | None = None) -> Iterator[Any]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each reply waits 40 ms between its head and its body

        def _respond(self, body: Any) -> None:
            reply = server.handle(self, body)
            if reply is None:
                self.close_connection = True
                self.connection.close()
                return
            status, found, headers = reply
            raw = (
                found
                if isinstance(found, bytes)
                else found.encode()
                if isinstance(found, str)
                else json.dumps(found).encode()
            )
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def do_GET(self) -> None:
            self._respond(None)

        def do_POST(self) -> None:
            self._respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *_: object) -> None:
            pass

    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        http_server.socket = tls.wrap_socket(http_server.socket, server_side=True)
    threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True).start()
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{http_server.server_port}"
    try:
        yield server
    finally:
        http_server.shutdown()
        http_server.server_close()


class Tei(Server):
    """text-embeddings-inference: a model, the tokens of a text, and how many texts of how many tokens it takes."""

    def __init__(self, model: str, embed: Embed, tokens: Callable[[str], int], **info: Any) -> None:
        super().__init__()
        self._embed, self._tokens = embed, tokens
        self.too_many = 422  # 413 in some versions
        self.info = {
            "model_id": model,
            "model_sha": None,
            "model_dtype": "float32",
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_concurrent_requests": 512,
            "max_input_length": 64,
            "max_batch_tokens": 16384,
            "max_batch_requests": None,
            "max_client_batch_size": 4,
            "auto_truncate": False,
            "tokenization_workers": 2,
            "version": "1.9.0",
            "sha": None,
            "docker_label": None,
            **info,
        }

    def answer(self, path: str, body: Any) -> Reply:
        if path == "/info":
            return 200, self.info, {}
        texts = body["inputs"] if path == "/embed" else body["texts"]
        if len(texts) > self.info["max_client_batch_size"]:
            most = self.info["max_client_batch_size"]
            said = f"batch size {len(texts)} > maximum allowed batch size {most}"
            return self.too_many, {"error": said, "error_type": "Validation"}, {}
        if not texts:
            return 400, {"error": "`inputs` cannot be empty", "error_type": "Empty"}, {}
        most = self.info["max_input_length"]
        for text in texts:
            if body["truncate"] is False and self._tokens(text) > most:
                given = self._tokens(text)
                said = f"Input validation error: `inputs` must have less than {most} tokens. Given: {given}"
                return self.too_many, {"error": said, "error_type": "Validation"}, {}
        if path == "/rerank":
            scores = self._embed([f"{body['query']}\n{text}" for text in texts]).reshape(-1)
            rows = [{"index": i, "score": float(score)} for i, score in enumerate(scores)]
            return 200, sorted(rows, key=lambda row: -row["score"]), {}
        return 200, self._embed(texts).tolist(), {}


class OpenAI(Server):
    """/v1/embeddings as OpenAI documents it."""

    def __init__(self, embed: Embed, tokens: Callable[[str], int], *, most_tokens: int = 64) -> None:
        super().__init__()
        self._embed, self._tokens, self._most = embed, tokens, most_tokens

    def answer(self, path: str, body: Any) -> Reply:
        if path != "/v1/embeddings":
            return 404, {"error": {"message": "Not found", "type": "not_found_error"}}, {}
        longest = max(self._tokens(text) for text in body["input"])
        if longest > self._most:
            said = f"This model's maximum context length is {self._most} tokens, however you requested {longest} tokens"
            return 400, {"error": {"message": said, "type": "invalid_request_error", "code": None}}, {}
        vectors = self._embed(body["input"])
        rows = [{"object": "embedding", "index": i, "embedding": row.tolist()} for i, row in enumerate(vectors)]
        usage = {"prompt_tokens": longest, "total_tokens": longest}
        return 200, {"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage}, {}


class ChatModel(Server):
    """/v1/chat/completions of a model that `says` something to each last message."""

    def __init__(self, says: Callable[[str], str]) -> None:
        super().__init__()
        self._says = says

    def answer(self, path: str, body: Any) -> Reply:
        if path != "/v1/chat/completions":
            return 404, {"error": {"message": "Not found"}}, {}
        message = {"role": "assistant", "content": self._says(body["messages"][-1]["content"])}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return 200, {"choices": [{"index": 0, "message": message}], "model": body["model"], "usage": usage}, {}


def vectors_of_makers(texts: Sequence[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0, 2.0, 3.0] for text in texts]


class Makers(Server):
    """Cohere, Voyage, Gemini, Azure, Anthropic: each by the path and the form of its own API.

    A reranker's score of a text is what `score` says.
    """

    def __init__(self, score: Callable[[str], float] = len) -> None:
        super().__init__()
        self._score = score

    def answer(self, path: str, body: Any) -> Reply:
        if "rerank" in path:
            rows = [{"index": n, "relevance_score": self._score(text)} for n, text in enumerate(body["documents"])]
            found = {"results": rows[::-1], "data": rows, "id": "r", "usage": {"total_tokens": 9}}
            return 200, {**found, "meta": {"billed_units": {"search_units": 1}}}, {}
        if path.endswith(":batchEmbedContents"):
            texts = [one["content"]["parts"][0]["text"] for one in body["requests"]]
            return 200, {"embeddings": [{"values": one} for one in vectors_of_makers(texts)]}, {}
        if path.endswith("/messages"):
            usage = {"input_tokens": 5, "output_tokens": 2}
            said = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "forty-two"}]}
            return 200, {"id": "m", "model": body["model"], "stop_reason": "end_turn", "usage": usage, **said}, {}
        if "texts" in body:  # Cohere
            billed = {"billed_units": {"input_tokens": 7}}
            return 200, {"id": "e", "embeddings": {"float": vectors_of_makers(body["texts"])}, "meta": billed}, {}
        rows = [
            {"index": n, "embedding": one, "object": "embedding"}
            for n, one in enumerate(vectors_of_makers(body["input"]))
        ]
        return (
            200,
            {"object": "list", "data": rows, "model": "m", "usage": {"total_tokens": 11, "prompt_tokens": 11}},
            {},
        )
