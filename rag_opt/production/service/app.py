"""The service as an ASGI application: what it answers on which path."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from rag_opt import __version__
from rag_opt.core.errors import BadInput, ServerFailed
from rag_opt.core.strict import PlainDict
from rag_opt.parts.interfaces import PassagesOnly
from rag_opt.production.bundle import Bundle
from rag_opt.production.service import chat, wire
from rag_opt.production.service.answering import Answering
from rag_opt.production.service.feedback import UnknownReply
from rag_opt.production.service.limits import Guard
from rag_opt.production.service.refusals import REFUSALS, add_errors, json_reply, refusal
from rag_opt.production.service.settings import ServiceSettings

_PAGE = Path(__file__).parent / "page"
_SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Service(Answering):
    """A bundle behind HTTP. `api`: what answers on which path; `guard`: the ASGI application, what stands before it."""

    def __init__(self, bundle: Bundle, settings: ServiceSettings) -> None:
        super().__init__(bundle, settings)
        self.api = _new_api(self)
        paths = frozenset(str(getattr(route, "path", "")) for route in self.api.routes)
        self.guard = Guard(self.api, settings, observe=self._observer(paths))

    def _observer(self, paths: frozenset[str]) -> Callable[[str, int, float], None]:
        def observe(path: str, status: int, seconds: float) -> None:
            label = path if path in paths else "other"  # names that strangers choose make no metrics
            self.metrics.requests.labels(label, str(status)).inc()
            self.metrics.seconds.labels(label).observe(seconds)

        return observe


def _new_api(service: Service) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        beside = [asyncio.create_task(work) for work in (service.prepare(), service.release_memory())]
        yield
        for task in beside:
            task.cancel()
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
    add_errors(api)
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


def _add_questions(api: FastAPI, service: Service) -> None:
    @api.post("/ask", response_model=wire.Answered, responses=REFUSALS, summary="Answer a question.")
    async def ask(request: Request, asked: wire.AskedQuestion) -> Response:
        ((id, reply),) = await service.ask(request, [asked], answered=True)
        return json_reply(wire.to_answered(id, reply))

    @api.post("/ask/batch", response_model=wire.AnsweredBatch, responses=REFUSALS, summary="Answer several.")
    async def ask_batch(request: Request, asked: wire.AskedQuestions) -> Response:
        found = await service.ask(request, asked.questions, answered=True)
        return json_reply(wire.AnsweredBatch.model_construct(replies=[wire.to_answered(*one) for one in found]))

    @api.post("/retrieve", response_model=wire.Found, responses=REFUSALS, summary="Return passages for a question.")
    async def retrieve(request: Request, asked: wire.AskedQuestion) -> Response:
        ((id, reply),) = await service.ask(request, [asked], answered=False)
        return json_reply(wire.to_found(id, reply))

    @api.post("/retrieve/batch", response_model=wire.FoundBatch, responses=REFUSALS, summary="Passages for several.")
    async def retrieve_batch(request: Request, asked: wire.AskedQuestions) -> Response:
        found = await service.ask(request, asked.questions, answered=False)
        return json_reply(wire.FoundBatch.model_construct(replies=[wire.to_found(*one) for one in found]))


def _add_chat(api: FastAPI, service: Service) -> None:
    answers = not isinstance(service.bundle.spec.generator, PassagesOnly)

    @api.get("/v1/models", responses={401: REFUSALS[401]}, summary="The one model: this pipeline.")
    async def models() -> PlainDict:
        return {"object": "list", "data": [{"id": service.settings.name, "object": "model", "owned_by": "rag_opt"}]}

    @api.post("/v1/chat/completions", responses=REFUSALS, summary="Answer in OpenAI's form, streamed or whole.")
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
            return Response(orjson.dumps(whole), media_type="application/json")
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        events = chat.stream(f"chatcmpl-{id}", service.settings.name, reply, content, notes, usage=usage)
        return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})


def _to_question(text: str, asked: chat.ChatRequest) -> wire.AskedQuestion:
    try:
        return wire.AskedQuestion(question=text, filters=asked.filters)
    except ValueError:
        raise refusal(422, "invalid", "the last message is no question of a user", fields=["messages"]) from None


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
        raise refusal(504, "timeout", f"no answer within {service.settings.timeout_s:g} s") from None
    except ServerFailed as error:
        service.server_failed(str(error))
    return condensed[: service.settings.max_characters], [*notes, f"asked: {condensed}"]


def _add_documents_and_feedback(api: FastAPI, service: Service) -> None:
    corpus = service.bundle.pipeline.corpus

    @api.post("/document", response_model=wire.FoundDocument, responses={404: {"model": wire.Refused}, **REFUSALS})
    async def document(asked: wire.AskedDocument) -> Response:
        """Return the text of a document that may be returned for these filters."""
        try:
            service.bundle.check_filters(asked.filters)
        except BadInput as error:
            raise refusal(422, "invalid", str(error), fields=[p.where for p in error.problems]) from None
        found = corpus[asked.document] if asked.document in corpus.position else None
        if found is None or not service.bundle.fits(asked.document, asked.filters):
            raise refusal(404, "unknown", "there is no such document")
        return json_reply(wire.FoundDocument.model_construct(document=found.id, title=found.title, text=found.text))

    @api.post("/feedback", response_model=wire.Taken, responses={404: {"model": wire.Refused}, **REFUSALS})
    async def feedback(request: Request, said: wire.Feedback) -> Response:
        """Take what a person says of a reply: the questions of the next search."""
        if service.settings.feedback is None:
            raise refusal(404, "off", "this service takes no feedback (--feedback FILE)")
        if said.thumb is None and said.right_passage is None and said.comment is None:
            raise refusal(422, "invalid", "says nothing: thumb, right_passage or comment", fields=["thumb"])
        if len(said.question or "") > service.settings.max_characters:
            most = f"question has more than {service.settings.max_characters} characters"
            raise refusal(422, "invalid", most, fields=["question"])
        service.count(request, 1)
        if said.right_passage is not None and not _may_name(service, said, said.right_passage.document):
            raise refusal(422, "invalid", "right_passage names no document", fields=["right_passage.document"])
        try:
            await asyncio.get_running_loop().run_in_executor(None, service.feedback.append, said)
        except UnknownReply:
            what = "this reply is not remembered: send its question"
            raise refusal(404, "unknown", what, fields=["id"]) from None
        except OSError as error:
            print(f"feedback is not written: {error}", file=sys.stderr, flush=True)
            raise refusal(503, "not_written", "feedback cannot be written now", retry_after=60) from None
        service.metrics.feedback.labels(said.thumb or "none").inc()
        return json_reply(wire.Taken(id=said.id, taken=True))


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
        return json_reply(wire.Health(status="ok"))

    @api.get(
        "/readyz",
        response_model=wire.Health,
        responses={503: {"model": wire.Health}},
        summary="Whether it may be asked.",
    )
    async def ready() -> Response:
        if service.guard.draining:
            return json_reply(wire.Health(status="stopping"), 503)
        if service.not_ready:
            return json_reply(wire.Health(status="not ready", reason=service.not_ready), 503)
        return json_reply(wire.Health(status="ready"))

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
