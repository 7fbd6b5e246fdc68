"""Services that are not OpenAI-shaped, by LiteLLM: it translates each request to the maker's own API.

It stands where the network would: everything around a request (its place in the queue, its booking, its repetition,
its storing) is as for every other server.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from rag_opt.core.secrets import mask_variables

if TYPE_CHECKING:
    from types import ModuleType

_SECRETS = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL")
_NO_KEY = re.compile(r"api.?key|credentials", re.IGNORECASE)  # in what is raised where there is none
_STATUS_UNKNOWN = 500


class LiteLLMTransport(httpx.AsyncBaseTransport):
    """An httpx transport that answers /chat/completions, /embeddings and /rerank by LiteLLM.

    `api_base`: another address than the maker's, as of a deployment of one's own. The key is that of the request's
    Authorization, or else what LiteLLM finds in the environment (COHERE_API_KEY, AWS_PROFILE, …).
    """

    def __init__(self, *, api_base: str | None) -> None:
        self._api_base = api_base
        library = _load()
        self._calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "/chat/completions": library.acompletion,
            "/embeddings": library.aembedding,
            "/rerank": library.arerank,
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return what the service answers, as a server that speaks OpenAI's protocol would say it."""
        body: dict[str, Any] = orjson.loads(await request.aread())
        call = self._calls.get(request.url.path)
        if call is None:
            return _respond(404, f"LiteLLM has nothing at {request.url.path}")
        if body.pop("stream", False):
            return _respond(400, "stream: answers come whole from here")
        key = request.headers.get("Authorization", "").removeprefix("Bearer ") or None
        given = {"api_key": key, "api_base": self._api_base, "num_retries": 0, "max_retries": 0}
        timeouts: Mapping[str, float] = request.extensions.get("timeout", {})
        seconds = timeouts.get("read")
        try:
            reply = await call(
                **body, **{name: value for name, value in given.items() if value is not None}, timeout=seconds
            )
        except Exception as error:  # each maker's errors are classes of LiteLLM's own, with the status they stand for
            return _refuse(error)
        return httpx.Response(200, json=reply.model_dump(mode="json"))


def _load() -> ModuleType:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches a list of prices when imported
    # of its own types, by pydantic, at its import and at the first request: nothing that its user could change
    warnings.filterwarnings("ignore", module=r"litellm|pydantic\._internal")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True  # else it prints addresses of its own at every error
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # what fails is said by us, once
    library: ModuleType = litellm
    return library


def _refuse(error: Exception) -> httpx.Response:
    """Return the reply that a server would have given instead of an error; a lost connection stays one."""
    status = getattr(error, "status_code", None)
    message = mask_variables(str(error), [name for name in os.environ if _SECRETS.search(name)])
    known = status if isinstance(status, int) else _STATUS_UNKNOWN
    if known >= 500 and _NO_KEY.search(message):  # it was never sent
        return _respond(401, message)
    if isinstance(error.__cause__ or error.__context__, httpx.ConnectError):
        raise httpx.ConnectError(message)
    if type(error).__name__ == "Timeout":
        raise httpx.ReadTimeout(message)  # it may well be answered and billed
    if type(error).__name__ == "APIConnectionError":
        raise httpx.ReadError(message)
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    pause = {"Retry-After": headers["retry-after"]} if "retry-after" in headers else {}
    return _respond(known, message, pause)


def _respond(status: int, message: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}}, headers=headers)
