"""A client of a language model: each request is sent once, whoever asks first, and its answer stored as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncIterator, Generator, Sequence
from typing import TypeGuard

import orjson

from rag_opt.core.digests import item_key
from rag_opt.core.errors import BudgetSpent, ModelUnusable, ServerDown, ServerFailed
from rag_opt.core.faults import find_fault
from rag_opt.core.strict import PlainDict
from rag_opt.models.event_loop import PerLoop, wait_for
from rag_opt.models.http_client import HttpClient, Observe, TooMuch
from rag_opt.models.http_replies import Json, Reply, find_error
from rag_opt.models.litellm_address import ADDRESS, open_transport
from rag_opt.models.llm.budget import BudgetTracker, Cost
from rag_opt.models.llm.messages import read_message, strip_thinking, written_characters
from rag_opt.models.llm.refused_fields import RefusedFields
from rag_opt.models.llm.settings import Completion, Judge, LanguageModel, Request
from rag_opt.models.llm.streaming import StreamedText, yield_pieces
from rag_opt.store.values import Values

_TABLE = "replies"
_TRIES = 2  # for a reply without a message
_MOST_FAILURES = 20  # failures in a row, none between them that could be used
_CHARACTERS_PER_TOKEN = 4  # where a server does not count
_MOST_TOKENS = 100_000_000  # of one answer: a server that counts more does not count
_FORM = "structured"  # in what is stored: how JSON is asked for, whatever the server was found to take
_MARKS_CACHE = (
    "anthropic",
    "claude",
)  # in the names of models whose services cache what is marked; others do by themselves
_KEPT = "Everything that was answered is kept"


class NoMessage(ServerFailed):
    """A server that answers, but nothing that can be used; as one that is still thinking at `max_tokens`."""


_Asking = dict[bytes, "asyncio.Future[Completion]"]


class LLMClient:
    """Requests to one language model, whose answers are stored.

    `who`: in whose name its calls are booked, `generator` or `judge`. `failures`: counts of the reasons why an answer
    could not be used.

    Any thread may ask. Requests in flight and counters are touched only in the event loop; a forked process has another
    loop, where nothing is in flight.
    """

    def __init__(
        self,
        settings: LanguageModel,
        values: Values,
        *,
        who: str = "generator",
        budget_tracker: BudgetTracker | None = None,
    ) -> None:
        self.settings, self.who = settings, who
        self.budget_tracker = budget_tracker or BudgetTracker()
        self.failures: Counter[str] = Counter()
        self._values = values
        self._asking: PerLoop[_Asking] = PerLoop(dict)  # requests in flight by key
        self._useless = self._unanswered = 0  # in a row
        self._given_up: ModelUnusable | None = None
        self._refused = RefusedFields()
        by_litellm = settings.kind == "litellm"
        self._http_client = HttpClient(
            ADDRESS if by_litellm else str(settings.base_url),
            key_variable=settings.key_variable,
            headers=settings.headers,
            header_variables=settings.header_variables,
            ca_bundle=settings.ca_bundle,
            timeout_s=settings.timeout_s,
            give_up_s=settings.give_up_s,
            most_in_flight=settings.concurrency,
            transport=functools.partial(open_transport, settings.base_url) if by_litellm else None,
        )

    @property
    def as_judge(self) -> Judge:
        """Settings of a model that judges."""
        assert isinstance(self.settings, Judge)
        return self.settings

    def with_settings(self, settings: LanguageModel) -> LLMClient:
        """Return a client with other settings, and the same budget."""
        return LLMClient(settings, self._values, who=self.who, budget_tracker=self.budget_tracker)

    def keys(self, requests: Sequence[Request]) -> list[bytes]:
        """Return the keys of the answers: all of the request, which attempt at it, and the model's revision."""
        revision = self.settings.revision
        return [item_key("chat", [self._key_body(request), revision, request.attempt]) for request in requests]

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Return the answer to each request, as it was first given. Raises ServerFailed where one has none."""
        completions = []
        for answer in self.answers(requests):
            if isinstance(answer, ServerFailed):
                raise answer
            completions.append(answer)
        return completions

    def answers(self, requests: Sequence[Request]) -> list[Completion | ServerFailed]:
        """Return the answer to each request, or its failure where it has none.

        Raises ModelUnusable where nobody can use the model, BudgetSpent where it may not be asked any more; what was
        answered until then is stored.
        """
        return wait_for(self._all(requests))

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        """Yield the answer to one request in pieces as they come, and return it; it is stored as any other.

        Raises as `complete`.
        An answer that is stored comes whole. A server that cannot stream gives it whole, too.
        """
        self.allow_again()
        return yield_pieces(lambda streamed: self.ask(request, streamed))

    async def _all(self, requests: Sequence[Request]) -> list[Completion | ServerFailed]:
        self.allow_again()
        keys = self.keys(requests)
        known = {key: Completion(*orjson.loads(value)) for key, value in self._values.get(_TABLE, keys).items()}
        work = [self._look_up_or_ask(key, request, known) for key, request in zip(keys, requests, strict=True)]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        # what ends the search comes before what is an error of ours
        for kind in (ModelUnusable, BudgetSpent, BaseException):
            for outcome in outcomes:
                if isinstance(outcome, kind) and (kind is ModelUnusable or not isinstance(outcome, ServerFailed)):
                    raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, (Completion, ServerFailed))]

    async def _look_up_or_ask(self, key: bytes, request: Request, known: dict[bytes, Completion]) -> Completion:
        return self._reuse(known[key]) if key in known else await self._ask_once(key, request)

    async def ask(self, request: Request, streamed: StreamedText | None = None) -> Completion:
        """Return the answer to one request; called in the event loop. `streamed` hears it as it comes.

        Raises as `complete`.
        """
        (key,) = self.keys([request])
        stored = self._values.get(_TABLE, [key]).get(key)
        if stored is None:
            return await self._ask_once(key, request, streamed)
        return self._reuse(Completion(*orjson.loads(stored)))

    def _reuse(self, completion: Completion) -> Completion:
        self._values.count_reused(_TABLE, 1)
        self._unanswered = 0
        return completion._replace(text=strip_thinking(completion.text))  # as it was stored before that was known

    async def _ask_once(self, key: bytes, request: Request, streamed: StreamedText | None = None) -> Completion:
        """Send a request once, however many wait for it. `streamed`: hears the answer as it comes."""
        asking = self._asking.get()
        if key in asking:
            return await asyncio.shield(asking[key])
        future = asking[key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._send(request, streamed)
            self._values.put(_TABLE, {key: orjson.dumps(list(completion))})
            self._values.count_computed(_TABLE, 1)
            future.set_result(completion)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else ServerFailed("stopped"))
            future.exception()  # nobody has to wait for it
            raise
        finally:
            del asking[key]
        return completion

    def _body(self, request: Request) -> PlainDict:
        """Return what is sent now: without what this server was found to refuse."""
        body = self._refused.leave_out(self._key_body(request))
        form = body.pop(_FORM, None)
        if request.shared_characters and _caches_when_told(self.settings):
            body["messages"] = _mark_shared(request)
        if form is not None and request.schema is not None and "response_format" not in body:
            form = self._refused.form if form == "auto" else form
            named = {"name": str(request.schema.get("title", "answer")), "schema": request.schema}
            formats = {
                "json_schema": {"type": "json_schema", "json_schema": named},
                "json_object": {"type": "json_object"},
            }
            body |= {"response_format": formats[form]} if form in formats else {}
        return body

    def _key_body(self, request: Request) -> PlainDict:
        """Return what determines the answer: the same whatever a server refuses of it."""
        settings = self.settings
        temperature = settings.temperature if request.temperature is None else request.temperature
        body: PlainDict = {"model": settings.model, "messages": request.messages, "stream": False}
        limits = {"temperature": temperature, "max_tokens": settings.max_tokens, "seed": request.attempt or None}
        body |= {name: value for name, value in limits.items() if value is not None}
        body |= {_FORM: settings.structured} if request.schema is not None else {}
        return body | settings.extra_body

    async def _send(self, request: Request, streamed: StreamedText | None = None) -> Completion:
        why, reply, took_s = "", None, list[float]()
        for _ in range(_TRIES):
            body, reply = await self._post(request, took_s, streamed)
            text, why = read_message(reply)
            if text:
                self._unanswered = 0
                input_tokens, output_tokens = _count_tokens(reply, body)
                finish = str(reply["choices"][0].get("finish_reason") or "")
                clean = self._http_client.without_secrets(text)
                cached = count_cached_tokens(reply)
                return Completion(clean, took_s[-1] * 1000, input_tokens, output_tokens, finish, cached)
        why = self._http_client.without_secrets(why)
        kind = ServerFailed if find_error(reply) else NoMessage
        raise self._count_unanswered(kind(f"{self._http_client.url}/chat/completions {why}"))

    async def _post(
        self, request: Request, took_s: list[float], streamed: StreamedText | None
    ) -> tuple[PlainDict, Json]:
        """Return what was sent and the reply; a field that the server refuses is left out from then on."""
        url = f"{self._http_client.url}/chat/completions"
        while True:
            body = self._body(request) | ({"stream": True} if streamed is not None else {})
            each = functools.partial(self._book, body, took_s, streamed)
            try:
                hear = streamed.hear if streamed is not None else lambda _: None
                reply = await self._http_client.ask("POST", "/chat/completions", body, each=each, hear=hear)
            except (ModelUnusable, BudgetSpent):
                raise
            except ServerDown as error:
                raise self._give_up(f"{error}. {_remedy(self.who, str(error))}. {_KEPT}") from None
            except TooMuch as error:
                if streamed is not None and "stream" in error.message.lower():  # it cannot
                    streamed = None
                    continue
                auto, ours = self.settings.structured == "auto", self.settings.extra_body
                if self._refused.learn(body, error.message, own=ours, may_change_form=auto):
                    continue
                # a matter of this request: too long a context, a filter
                raise ServerFailed(f"{url} refuses the request: {error}") from None
            except ServerFailed as error:
                raise self._count_unanswered(error) from None
            except Exception as error:  # whatever a reply may bring about: a failure of this one request
                if find_fault(error) is not None:  # but booking it needs room
                    raise
                raise self._count_unanswered(ServerFailed(f"{url}: {type(error).__name__}: {error}")) from error
            return body, reply

    def take_remarks(self) -> list[str]:
        """Return what was found out of the server since this was asked last, in words."""
        remarks, self._refused.remarks = self._refused.remarks, []
        return [f"{self.settings.model} at {self._http_client.url} {remark}" for remark in remarks]

    def count_useless(self, reason: str) -> None:
        """Note that an answer was of no use. Raises ModelUnusable where that goes on."""
        self._useless += 1
        self._stop_after(self._useless, reason)

    def count_useful(self) -> None:
        """Note that an answer could be used."""
        self._useless = 0

    def allow_again(self) -> None:
        """Let whoever begins to ask do so, even where the model was given up before."""
        self._given_up = None

    def _give_up(self, reason: str) -> ModelUnusable:
        """Return the error that ends it, for those too that are still to ask: they would pay for nothing."""
        self._given_up = ModelUnusable(reason)
        return self._given_up

    def _stop_after(self, failures: int, reason: str) -> None:
        if failures >= _MOST_FAILURES:
            limit = self.settings.max_tokens
            raise self._give_up(
                f"{failures} times in a row {self.settings.model} at {self._http_client.url} gave nothing that "
                f"can be used; the last: {reason}. Another model, another `structured`, or more than "
                f"max_tokens={limit} may help ({_section(self.who)}). {_KEPT}"
            )

    def _count_unanswered(self, error: ServerFailed) -> ServerFailed:
        self._unanswered += 1
        try:
            self._stop_after(self._unanswered, str(error))
        except ModelUnusable as worse:
            return worse
        return error

    @contextlib.asynccontextmanager
    async def _book(
        self, body: PlainDict, times_s: list[float], streamed: StreamedText | None
    ) -> AsyncIterator[Observe]:
        """Book one try with the budget, and add to `times_s` how long it took: without waiting for its turn."""
        if streamed is not None:
            streamed.clean, streamed.hold = self._http_client.without_secrets, self._http_client.longest_secret
            streamed.begin()
        if self._given_up is not None:
            raise self._given_up
        settings, sent_bytes = self.settings, len(orjson.dumps(body["messages"]))  # never fewer than tokens
        most_usd = settings.usd(sent_bytes, settings.max_tokens or 16_384, settings.timeout_s)

        def cost(reply: Reply, took_s: float) -> Cost:
            times_s.append(took_s)
            said = reply.json if reply.status == 200 and reply.is_json else None
            tokens = _count_tokens(said, body) if reply.status == 200 else (0, 0)
            return (*tokens, settings.usd(*tokens, took_s, cached_tokens=count_cached_tokens(said)))

        booked = self.budget_tracker.booked(self.who, str(settings.model), most_usd=most_usd, cost=cost)
        async with booked as observe:
            yield observe


def _count_tokens(reply: Json, body: PlainDict) -> tuple[int, int]:
    """Return (input tokens, output tokens) as the server counts them, or else estimated by their characters."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    counted = usage if isinstance(usage, dict) else {}
    input_tokens, output_tokens = counted.get("prompt_tokens"), counted.get("completion_tokens")
    if _is_count(input_tokens) and _is_count(output_tokens) and input_tokens > 0:
        return input_tokens, output_tokens
    sent = sum(len(str(message["content"])) for message in body["messages"])
    return -(-sent // _CHARACTERS_PER_TOKEN), -(-written_characters(reply) // _CHARACTERS_PER_TOKEN)


def count_cached_tokens(reply: Json) -> int:
    """Return how many input tokens a service says it had cached; 0 where it says nothing that is a number."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return cached if _is_count(cached) else 0


def _mark_shared(request: Request) -> list[PlainDict]:
    """Return the messages of a request, the shared beginning of the last one marked as Anthropic's API has it."""
    *earlier, last = request.messages
    shared, own = last["content"][: request.shared_characters], last["content"][request.shared_characters :]
    marked = {"type": "text", "text": shared, "cache_control": {"type": "ephemeral"}}
    return [*earlier, {"role": last["role"], "content": [marked, {"type": "text", "text": own}]}]


def _caches_when_told(settings: LanguageModel) -> bool:
    """Return whether a service caches the beginning of a request only where that is marked: Anthropic's models."""
    return settings.kind == "litellm" and any(name in str(settings.model) for name in _MARKS_CACHE)


def _is_count(tokens: Json) -> TypeGuard[int]:
    return isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens <= _MOST_TOKENS


def _section(who: str) -> str:
    return "llm.…" if who == "generator" else f"{who}.…"


def _remedy(who: str, reason: str) -> str:
    section = _section(who)
    if "environment variable" in reason:
        return f"{section.replace('…', 'key_variable')} names it"
    if "answered 404" in reason:
        return f"Does {section.replace('…', 'base_url')} end where /chat/completions follows, as in https://host/v1?"
    return f"Start the server, or correct its address and key ({section})"
