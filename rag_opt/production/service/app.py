"""The service as an ASGI application: what it answers on which path."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from rag_opt import __version__
from rag_opt.core.errors import BadInput, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.core.strict import PlainDict
from rag_opt.parts.interfaces import PassagesOnly
from rag_opt.production.bundle import Bundle, Reply
from rag_opt.production.service import chat, wire
from rag_opt.production.service.feedback import FeedbackLog, UnknownReply
from rag_opt.production.service.limits import CALLER, Guard, RateLimit
from rag_opt.production.service.metrics import ServiceMetrics
from rag_opt.production.service.question_queue import QuestionQueue, QueueFull
from rag_opt.production.service.readiness import warm_up
from rag_opt.production.service.settings import ServiceSettings
from rag_opt.production.service.tracing import Tracing

_PAGE = Path(__file__).parent / "page"
_MODEL_DOWN = "a model that this pipeline needs does not answer now"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": wire.Refused, "description": "The body is no JSON."},
    401: {"model": wire.Refused, "description": "A key is wanted."},
    408: {"model": wire.Refused, "description": "The body did not arrive in time."},
    413: {"model": wire.Refused, "description": "The body is too large."},
    415: {"model": wire.Refused, "description": "The content type is not JSON."},
    422: {"model": wire.Refused, "description": "The request cannot be served as it is; it says why."},
    429: {"model": wire.Refused, "description": "Too many questions a minute."},
    502: {"model": wire.Refused, "description": "A model does not answer."},
    503: {"model": wire.Refused, "description": "Not ready, or too busy."},
    504: {"model": wire.Refused, "description": "It took too long."},
}
_SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Service:
    """A bundle behind HTTP. `app`: the ASGI application; `guard`: what stands before it."""

    def __init__(self, bundle: Bundle, settings: ServiceSettings) -> None:
        self.bundle, self.settings = bundle, settings
        values = bundle.pipeline.values
        self.metrics = ServiceMetrics(
            waiting=lambda: len(self.queue),
            cache_bytes=lambda: bundle.cache_bytes,
            reused=lambda: dict(values.reused),
            computed=lambda: dict(values.computed),
        )
        self.queue = QuestionQueue(
            bundle,
            at_once=settings.at_once,
            most_waiting=settings.max_waiting,
            model_calls=settings.model_calls,
            observe_batch=self.metrics.batch.observe,
            observe_wait=self.metrics.wait.observe,
        )
        self.feedback = FeedbackLog(settings.feedback, remembered_bytes=settings.remembered_bytes)
        self.rate = RateLimit(settings.per_minute)
        self.tracing = Tracing(settings.name)
        self.not_ready = "is starting"
        self.api = _new_api(self)
        paths = frozenset(str(getattr(route, "path", "")) for route in self.api.routes)
        self.guard = Guard(self.api, settings, observe=self._observer(paths))

    def _observer(self, paths: frozenset[str]) -> Callable[[str, int, float], None]:
        def observe(path: str, status: int, seconds: float) -> None:
            label = path if path in paths else "other"  # names that strangers choose make no metrics
            self.metrics.requests.labels(label, str(status)).inc()
            self.metrics.seconds.labels(label).observe(seconds)

        return observe

    async def prepare(self) -> None:
        """Load everything by the golden question, again and again until it is answered as the search saw."""
        while self.not_ready:
            told = await self.queue.run(functools.partial(warm_up, self.bundle))
            self.not_ready = told.public
            self.metrics.ready.set(not self.not_ready)
            if self.not_ready:
                print(f"not ready: {told.detail or told.public}", file=sys.stderr, flush=True)
                await asyncio.sleep(self.settings.retry_s)

    async def ask(
        self, request: Request, asked: Sequence[wire.AskedQuestion], *, answered: bool
    ) -> list[tuple[str, Reply]]:
        """Return an id and a reply for each question. Raises HTTPException for what cannot be served."""
        self.admit(request, asked)
        return await self.answer(request, asked, answered=answered, within_s=self.settings.timeout_s)

    async def answer(
        self, request: Request, asked: Sequence[wire.AskedQuestion], *, answered: bool, within_s: float
    ) -> list[tuple[str, Reply]]:
        """Return an id and a reply for each question that was admitted, within so many seconds."""
        started = time.perf_counter()
        questions = [Question("", one.question, filters=one.filters) for one in asked]
        try:
            waiting = self.queue.ask(questions, answered=answered)
            found = await asyncio.wait_for(waiting, within_s)
        except QueueFull:
            raise _refusal(503, "busy", "too many questions wait; try again", retry_after=1) from None
        except TimeoutError:
            raise _refusal(504, "timeout", f"no answer within {self.settings.timeout_s:g} s") from None
        except ServerFailed as error:
            self.model_failed(str(error))
        replies = []
        for one, (reply, failed) in zip(asked, found, strict=True):
            if failed:
                self.model_failed(failed)
            id = secrets.token_hex(8)
            self.metrics.observe(reply)
            self.feedback.remember(id, reply, one.filters)
            self.tracing.record(request.url.path, reply, request.headers, seconds=time.perf_counter() - started)
            replies.append((id, reply))
        return replies

    def admit(self, request: Request, asked: Sequence[wire.AskedQuestion]) -> None:
        """Raise HTTPException for questions that are not allowed; those that are count on the caller's rate."""
        if self.not_ready:
            raise _refusal(503, "not_ready", "the service is not ready", retry_after=1)
        if len(asked) > self.settings.max_questions:
            raise _refusal(422, "invalid", f"has {len(asked)} questions; at most {self.settings.max_questions}")
        for number, one in enumerate(asked):
            if len(one.question) > self.settings.max_characters:
                what = f"question {number} has {len(one.question)} characters; at most {self.settings.max_characters}"
                raise _refusal(422, "invalid", what, fields=["question"])
            try:
                self.bundle.check_filters(one.filters)
            except BadInput as error:
                raise _refusal(422, "invalid", str(error), fields=[p.where for p in error.problems]) from None
        self.count(request, len(asked))

    def count(self, request: Request, number: int) -> None:
        """Count so many questions on the caller's rate. Raises HTTPException where they are too many."""
        wait_s = self.rate.take(str(request.scope.get(CALLER, "")), number)
        if wait_s:
            raise _refusal(
                429, "too_many", f"at most {self.settings.per_minute} questions a minute", retry_after=wait_s
            )

    def model_failed(self, reason: str) -> NoReturn:
        """Tell the operator why, and the caller only that; the next question asks the model again."""
        if self.bundle.pipeline.llm_client is not None:
            self.bundle.pipeline.llm_client.allow_again()
        self.metrics.failures.inc()
        print(f"a model failed: {reason}", file=sys.stderr, flush=True)
        raise _refusal(502, "model_failed", _MODEL_DOWN, retry_after=5)

    async def close(self) -> None:
        """End the threads and send what waits."""
        await self.queue.close()
        self.tracing.close()


def _refusal(status: int, kind: str, what: str, *, retry_after: float = 0, fields: Sequence[str] = ()) -> HTTPException:
    headers = {"retry-after": str(max(1, round(retry_after)))} if retry_after else None
    return HTTPException(status, {"type": kind, "message": what, "fields": list(fields)}, headers)


def _json(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, media_type="application/json")


def _told(status: int, told: PlainDict, headers: Mapping[str, str] | None = None) -> Response:
    fields = [str(field).encode("utf-8", "replace").decode() for field in told["fields"]]  # names that were sent
    told = {**told, "message": str(told["message"]).encode("utf-8", "replace").decode(), "fields": fields}
    return Response(
        wire.Refused(error=wire.Told(**told)).model_dump_json(), status, headers, media_type="application/json"
    )


def _new_api(service: Service) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        preparing = asyncio.create_task(service.prepare())
        yield
        preparing.cancel()
        await service.close()

    api = FastAPI(
        title=f"rag_opt: {service.settings.name}",
        version=__version__,
        description="Answers questions from documents, by the pipeline that a search found best for them.",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    if service.settings.origins:
        from fastapi.middleware.cors import CORSMiddleware

        api.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
        )
    _add_errors(api)
    _add_questions(api, service)
    _add_chat(api, service)
    _add_documents_and_feedback(api, service)
    _add_operation(api, service)
    _add_page(api)
    _describe_filters(api, sorted(service.bundle.filter_names))
    return api


def _describe_filters(api: FastAPI, names: list[str]) -> None:
    """Say in the description which filters there are, in this bundle."""
    described = api.openapi()
    for schema in described["components"]["schemas"].values():
        filters = schema.get("properties", {}).get("filters")
        if filters is not None:
            filters |= {"propertyNames": {"enum": names}} if names else {"maxProperties": 0}


def _add_errors(api: FastAPI) -> None:
    """Have every fault answered in one form, without what was sent, and without a trace."""

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        problems = [(".".join(map(str, one["loc"])), str(one["msg"])) for one in error.errors()][:10]
        status = 400 if any(one["type"] == "json_invalid" for one in error.errors()) else 422
        said = "; ".join(f"{where}: {what.removeprefix('Value error, ')}" for where, what in problems)
        return _told(status, {"type": "invalid", "message": said, "fields": [where for where, _ in problems]})

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        kind = "invalid" if error.status_code < 500 else "fault"
        plain: PlainDict = {"type": kind, "message": str(error.detail), "fields": []}
        return _told(error.status_code, error.detail if isinstance(error.detail, dict) else plain, error.headers)

    async def fault(request: Request, error: Exception) -> Response:
        traceback.print_exception(error, file=sys.stderr)
        return _told(500, {"type": "fault", "message": "the service failed; its log says why", "fields": []})

    api.add_exception_handler(RequestValidationError, invalid)
    api.add_exception_handler(StarletteHTTPException, refused)
    api.add_exception_handler(Exception, fault)


def _add_questions(api: FastAPI, service: Service) -> None:
    @api.post("/ask", response_model=wire.Answered, responses=_REFUSALS, summary="Answer a question.")
    async def ask(request: Request, asked: wire.AskedQuestion) -> Response:
        ((id, reply),) = await service.ask(request, [asked], answered=True)
        return _json(wire.to_answered(id, reply))

    @api.post("/ask/batch", response_model=wire.AnsweredBatch, responses=_REFUSALS, summary="Answer several.")
    async def ask_batch(request: Request, asked: wire.AskedQuestions) -> Response:
        found = await service.ask(request, asked.questions, answered=True)
        return _json(wire.AnsweredBatch.model_construct(replies=[wire.to_answered(*one) for one in found]))

    @api.post("/retrieve", response_model=wire.Found, responses=_REFUSALS, summary="Return passages for a question.")
    async def retrieve(request: Request, asked: wire.AskedQuestion) -> Response:
        ((id, reply),) = await service.ask(request, [asked], answered=False)
        return _json(wire.to_found(id, reply))

    @api.post("/retrieve/batch", response_model=wire.FoundBatch, responses=_REFUSALS, summary="Passages for several.")
    async def retrieve_batch(request: Request, asked: wire.AskedQuestions) -> Response:
        found = await service.ask(request, asked.questions, answered=False)
        return _json(wire.FoundBatch.model_construct(replies=[wire.to_found(*one) for one in found]))


def _add_chat(api: FastAPI, service: Service) -> None:
    answers = not isinstance(service.bundle.spec.generator, PassagesOnly)

    @api.get("/v1/models", responses={401: _REFUSALS[401]}, summary="The one model: this pipeline.")
    async def models() -> PlainDict:
        return {"object": "list", "data": [{"id": service.settings.name, "object": "model", "owned_by": "rag_opt"}]}

    @api.post("/v1/chat/completions", responses=_REFUSALS, summary="Answer in OpenAI's form, streamed or whole.")
    async def complete(request: Request, asked: chat.ChatRequest) -> Response:
        started = time.perf_counter()
        question = _to_question(chat.find_question(asked.messages), asked)
        service.admit(request, [question])
        text, notes = await _find_chat_question(service, asked)
        left_s = max(service.settings.timeout_s - (time.perf_counter() - started), 0.0)
        question = _to_question(text, asked)
        ((id, reply),) = await service.answer(request, [question], answered=True, within_s=left_s)
        content = chat.write_content(reply, answers=answers)
        if not asked.stream:
            whole = chat.completion(f"chatcmpl-{id}", service.settings.name, reply, content, notes)
            return Response(_dumps(whole), media_type="application/json")
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        events = chat.stream(f"chatcmpl-{id}", service.settings.name, reply, content, notes, usage=usage)
        return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})


def _to_question(text: str, asked: chat.ChatRequest) -> wire.AskedQuestion:
    try:
        return wire.AskedQuestion(question=text, filters=asked.filters)
    except ValueError:
        raise _refusal(422, "invalid", "the last message is no question of a user", fields=["messages"]) from None


async def _find_chat_question(service: Service, asked: chat.ChatRequest) -> tuple[str, list[str]]:
    """Return the question of a conversation, and what was left out of it, in words."""
    notes = [chat.NO_SYSTEM] if any(one.role in ("system", "developer") for one in asked.messages) else []
    question = chat.find_question(asked.messages)
    if not question or not chat.has_earlier_turns(asked.messages):
        return question, notes
    if service.bundle.pipeline.llm_client is None:
        return question, [*notes, chat.LAST_TURN_ONLY]
    try:
        running = service.queue.run_beside(functools.partial(chat.condense, service.bundle, asked.messages))
        condensed = await asyncio.wait_for(running, service.settings.timeout_s)
    except TimeoutError:
        raise _refusal(504, "timeout", f"no answer within {service.settings.timeout_s:g} s") from None
    except ServerFailed as error:
        service.model_failed(str(error))
    return condensed[: service.settings.max_characters], [*notes, f"asked: {condensed}"]


def _dumps(content: PlainDict) -> bytes:
    import orjson

    return orjson.dumps(content)


def _add_documents_and_feedback(api: FastAPI, service: Service) -> None:
    corpus = service.bundle.pipeline.corpus

    @api.post("/document", response_model=wire.FoundDocument, responses={404: {"model": wire.Refused}, **_REFUSALS})
    async def document(asked: wire.AskedDocument) -> Response:
        """Return the text of a document that may be returned for these filters."""
        try:
            service.bundle.check_filters(asked.filters)
        except BadInput as error:
            raise _refusal(422, "invalid", str(error), fields=[p.where for p in error.problems]) from None
        found = corpus[asked.document] if asked.document in corpus.position else None
        if found is None or not service.bundle.fits(asked.document, asked.filters):
            raise _refusal(404, "unknown", "there is no such document")
        return _json(wire.FoundDocument.model_construct(document=found.id, title=found.title, text=found.text))

    @api.post("/feedback", response_model=wire.Taken, responses={404: {"model": wire.Refused}, **_REFUSALS})
    async def feedback(request: Request, said: wire.Feedback) -> Response:
        """Take what a person says of a reply: the questions of the next search."""
        if service.settings.feedback is None:
            raise _refusal(404, "off", "this service takes no feedback (--feedback FILE)")
        if said.thumb is None and said.right_passage is None and said.comment is None:
            raise _refusal(422, "invalid", "says nothing: thumb, right_passage or comment", fields=["thumb"])
        if len(said.question or "") > service.settings.max_characters:
            most = f"question has more than {service.settings.max_characters} characters"
            raise _refusal(422, "invalid", most, fields=["question"])
        service.count(request, 1)
        if said.right_passage is not None and not _may_name(service, said, said.right_passage.document):
            raise _refusal(422, "invalid", "right_passage names no document", fields=["right_passage.document"])
        try:
            await asyncio.get_running_loop().run_in_executor(None, service.feedback.append, said)
        except UnknownReply:
            what = "this reply is not remembered: send its question"
            raise _refusal(404, "unknown", what, fields=["id"]) from None
        except OSError as error:
            print(f"feedback is not written: {error}", file=sys.stderr, flush=True)
            raise _refusal(503, "not_written", "feedback cannot be written now", retry_after=60) from None
        service.metrics.feedback.labels(said.thumb or "none").inc()
        return _json(wire.Taken(id=said.id, taken=True))


def _may_name(service: Service, said: wire.Feedback, document: str) -> bool:
    """Return whether feedback may name a document: one that fits the filters that its question had."""
    filters = service.feedback.filters_of(said.id)
    if document not in service.bundle.pipeline.corpus.position:
        return False
    if filters is None:
        return not service.bundle.manifest.requires_filter
    return service.bundle.fits(document, filters)


def _add_operation(api: FastAPI, service: Service) -> None:
    @api.get("/healthz", response_model=wire.Health, summary="Whether the process lives.")
    async def health() -> Response:
        return _json(wire.Health(status="ok"))

    @api.get(
        "/readyz",
        response_model=wire.Health,
        responses={503: {"model": wire.Health}},
        summary="Whether it may be asked.",
    )
    async def ready() -> Response:
        if service.guard.draining:
            return _json(wire.Health(status="stopping"), 503)
        if service.not_ready:
            return _json(wire.Health(status="not ready", reason=service.not_ready), 503)
        return _json(wire.Health(status="ready"))

    @api.get("/metrics", summary="Metrics as Prometheus reads them.", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(api: FastAPI) -> None:
    kinds = {
        "": ("page.html", "text/html"),
        "page.js": ("page.js", "text/javascript"),
        "page.css": ("page.css", "text/css"),
    }

    def give(name: str, kind: str) -> Callable[[], Awaitable[Response]]:
        content = (_PAGE / name).read_bytes()

        async def page() -> Response:
            return Response(content, media_type=f"{kind}; charset=utf-8", headers=_SECURITY)

        return page

    for path, (name, kind) in kinds.items():
        api.add_api_route(f"/{path}", give(name, kind), methods=["GET"], include_in_schema=False)
