"""Asking a language model: each request is sent once, whoever asks first, and its answer stored as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from rag_opt.core.digests import item_key
from rag_opt.core.errors import BudgetSpent, ModelUnusable, ServerDown, ServerFailed
from rag_opt.models.event_loop import wait_for
from rag_opt.models.http_client import HttpClient, TooMuch
from rag_opt.models.llm.budget import BudgetTracker, Usage
from rag_opt.models.llm.settings import Completion, Judge, LanguageModel, Request
from rag_opt.store.values import Values

if TYPE_CHECKING:
    import httpx

_SHELF = "replies"
_TRIES = 2  # for a reply without a message
_USELESS = 20  # failures in a row, none between them that could be used
_CHARACTERS_PER_TOKEN = 4  # where a server does not count
_KEPT = "Everything that was answered is kept"


class LLMClient:
    """One language model. `who`: in whose name its calls are booked, `generator` or `judge`.

    `failures`: why something that it was asked could not be used, counted.
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
        self._asking: dict[bytes, asyncio.Future[Completion]] = {}
        self._useless = self._unanswered = 0  # in a row
        self._over: ModelUnusable | None = None
        self._http_client = HttpClient(
            str(settings.base_url),
            key_variable=settings.key_variable,
            headers=settings.headers,
            header_variables=settings.header_variables,
            ca_bundle=settings.ca_bundle,
            timeout_s=settings.timeout_s,
            give_up_s=settings.give_up_s,
            most_in_flight=settings.concurrency,
        )

    @property
    def as_judge(self) -> Judge:
        """Its settings, of a model that judges."""
        assert isinstance(self.settings, Judge)
        return self.settings

    def with_settings(self, settings: LanguageModel) -> LLMClient:
        """Another that is asked otherwise, at the same expense."""
        return LLMClient(settings, self._values, who=self.who, budget_tracker=self.budget_tracker)

    def keys(self, requests: Sequence[Request]) -> list[bytes]:
        """Under what the answers are stored: all of the request, which attempt at it, and the model's revision."""
        return [item_key("chat", [self._body(one), self.settings.revision, one.attempt]) for one in requests]

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """The answer to each request, as it was first given. Raises ServerFailed where one has none."""
        found = self.answers(requests)
        for one in found:
            if isinstance(one, ServerFailed):
                raise one
        return [one for one in found if isinstance(one, Completion)]

    def answers(self, requests: Sequence[Request]) -> list[Completion | ServerFailed]:
        """As `complete`, but with the failure of each request that has no answer in its place.

        Raises ModelUnusable where nobody can use the model, BudgetSpent where it may not be asked any more; what was
        answered until then is stored.
        """
        return wait_for(self._all(requests))

    async def _all(self, requests: Sequence[Request]) -> list[Completion | ServerFailed]:
        self.anew()
        keys = self.keys(requests)
        known = {key: Completion(*orjson.loads(value)) for key, value in self._values.get(_SHELF, keys).items()}
        work = [self._known_or_asked(key, one, known) for key, one in zip(keys, requests, strict=True)]
        found = await asyncio.gather(*work, return_exceptions=True)
        for kind in (ModelUnusable, BudgetSpent):
            for one in found:
                if isinstance(one, kind):
                    raise one
        for other in found:
            if isinstance(other, BaseException) and not isinstance(other, ServerFailed):
                raise other
        return found  # type: ignore[return-value]  # checked just now

    async def _known_or_asked(self, key: bytes, request: Request, known: dict[bytes, Completion]) -> Completion:
        return self._reused(known[key]) if key in known else await self._once(key, request)

    async def ask(self, request: Request) -> Completion:
        """The answer to one request, in the event loop. Raises as `complete`."""
        (key,) = self.keys([request])
        stored = self._values.get(_SHELF, [key]).get(key)
        return await self._once(key, request) if stored is None else self._reused(Completion(*orjson.loads(stored)))

    def _reused(self, completion: Completion) -> Completion:
        self._values.reused[_SHELF] = self._values.reused.get(_SHELF, 0) + 1
        self._unanswered = 0
        return completion

    async def _once(self, key: bytes, request: Request) -> Completion:
        """Sent once, however many wait for it."""
        if key in self._asking:
            return await asyncio.shield(self._asking[key])
        future = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._sent(request)
            self._values.put(_SHELF, {key: orjson.dumps(list(completion))})
            self._values.computed[_SHELF] = self._values.computed.get(_SHELF, 0) + 1
            future.set_result(completion)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else ServerFailed("stopped"))
            future.exception()  # nobody has to wait for it
            raise
        finally:
            del self._asking[key]
        return completion

    def _body(self, request: Request) -> dict[str, Any]:
        settings = self.settings
        temperature = settings.temperature if request.temperature is None else request.temperature
        body: dict[str, Any] = {"model": settings.model, "messages": request.messages, "stream": False}
        limits = {"temperature": temperature, "max_tokens": settings.max_tokens, "seed": request.attempt or None}
        body |= {name: value for name, value in limits.items() if value is not None}
        if request.schema is not None and settings.structured == "json_schema":
            named = {"name": str(request.schema.get("title", "answer")), "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.schema is not None and settings.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body | settings.extra_body

    async def _sent(self, request: Request) -> Completion:
        body, why, took_s = self._body(request), "", list[float]()
        for _ in range(_TRIES):
            try:
                reply = await self._http_client.ask(
                    "POST", "/chat/completions", body, each=lambda: self._booked(body, took_s)
                )
            except ModelUnusable:
                raise
            except ServerDown as error:
                raise self._given_up(f"{error}. {_remedy(self.who, str(error))}. {_KEPT}") from None
            except TooMuch as error:
                # a matter of this request: too long a context, a filter
                what = f"{self._http_client.url}/chat/completions refuses the request: {error}"
                raise ServerFailed(what) from None
            except ServerFailed as error:
                raise self._noted(error) from None
            text, why = _message(reply)
            if text:
                self._unanswered = 0
                given, made = self._usage(reply, body)
                finish = str(reply["choices"][0].get("finish_reason") or "")
                return Completion(text, took_s[-1] * 1000, given, made, finish)
        raise self._noted(ServerFailed(f"{self._http_client.url}/chat/completions {why}"))

    def useless(self, why: str) -> None:
        """What was asked for could not be made of the answers. Raises ModelUnusable where that goes on."""
        self._useless += 1
        self._stop_after(self._useless, why)

    def useful(self) -> None:
        self._useless = 0

    def anew(self) -> None:
        """Whoever begins to ask may do so, whatever was given up before."""
        self._over = None

    def _given_up(self, why: str) -> ModelUnusable:
        """What ends it, for those too that are still to ask: they would pay for nothing."""
        self._over = ModelUnusable(why)
        return self._over

    def _stop_after(self, failures: int, why: str) -> None:
        if failures >= _USELESS:
            limit = self.settings.max_tokens
            raise self._given_up(
                f"{failures} times in a row {self.settings.model} at {self._http_client.url} gave nothing that "
                f"can be used; the last: {why}. Another model, another `structured`, or more than max_tokens={limit} "
                f"may help ({_section(self.who)}). {_KEPT}"
            )

    def _noted(self, error: ServerFailed) -> ServerFailed:
        self._unanswered += 1
        try:
            self._stop_after(self._unanswered, str(error))
        except ModelUnusable as worse:
            return worse
        return error

    @contextlib.asynccontextmanager
    async def _booked(self, body: dict[str, Any], times_s: list[float]) -> AsyncIterator[Any]:
        """Books one try with the budget, and adds how long it took: without waiting for its turn."""
        import httpx

        if self._over is not None:
            raise self._over
        settings, sent_bytes = self.settings, len(orjson.dumps(body["messages"]))  # never fewer than tokens
        most = settings.usd(sent_bytes, settings.max_tokens or 16_384, settings.timeout_s)
        async with self.budget_tracker.call(self.who, str(settings.model), most_usd=most) as ended:
            started = time.perf_counter()

            def seen(reply: httpx.Response) -> None:
                took_s = time.perf_counter() - started
                times_s.append(took_s)
                given, made = self._usage(_parsed(reply), body) if reply.status_code == 200 else (0, 0)
                ended(str(reply.status_code), Usage(0, given, made, settings.usd(given, made, took_s)))

            try:
                yield seen
            except (httpx.ConnectError, httpx.ConnectTimeout):
                ended("not sent", Usage())
                raise
            except BaseException:  # it may well be answered and billed, only not to us
                ended("unanswered", Usage(usd=most))
                raise

    def _usage(self, reply: Any, body: dict[str, Any]) -> tuple[int, int]:
        """(input tokens, output tokens) as the server counts them, or by their characters."""
        usage = reply.get("usage") if isinstance(reply, dict) else None
        counted = usage if isinstance(usage, dict) else {}
        given, made = (counted.get(f"{of}_tokens") for of in ("prompt", "completion"))
        if isinstance(given, int) and isinstance(made, int) and given > 0 and made >= 0:
            return given, made
        said = _message(reply)[0]
        shown = sum(len(one["content"]) for one in body["messages"])
        return -(-shown // _CHARACTERS_PER_TOKEN), -(-len(said) // _CHARACTERS_PER_TOKEN)


def _section(who: str) -> str:
    return "llm.…" if who == "generator" else f"{who}.…"


def _remedy(who: str, why: str) -> str:
    section = _section(who)
    if "environment variable" in why:
        return f"{section.replace('…', 'key_variable')} names it"
    if "answered 404" in why:
        return f"Does {section.replace('…', 'base_url')} end where /chat/completions follows, as in https://host/v1?"
    return f"Start the server, or correct its address and key ({section})"


def _parsed(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None


def _message(reply: Any) -> tuple[str, str]:
    """The message of a reply, or why there is none."""
    try:
        text = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return "", f"answered no message: {str(reply)[:200]}"
    if not isinstance(text, str) or not text.strip():
        return "", "answered an empty message"
    return text, ""
