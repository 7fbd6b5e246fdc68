"""How a request is refused: in one form, with a reason, and without a trace."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from rag_opt.core.strict import PlainDict
from rag_opt.production.service import wire

REFUSALS: dict[int | str, dict[str, Any]] = {
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


def refusal(status: int, kind: str, what: str, *, retry_after: float = 0, fields: Sequence[str] = ()) -> HTTPException:
    """Return the exception that answers a request with a refusal; `fields`: those that it is about."""
    headers = {"retry-after": str(max(1, round(retry_after)))} if retry_after else None
    return HTTPException(status, {"type": kind, "message": what, "fields": list(fields)}, headers)


def json_reply(model: BaseModel, status: int = 200) -> Response:
    """Return a reply of a model's content."""
    return Response(model.model_dump_json(), status, media_type="application/json")


def _told(status: int, told: PlainDict, headers: Mapping[str, str] | None = None) -> Response:
    fields = [str(field).encode("utf-8", "replace").decode() for field in told["fields"]]  # names that were sent
    told = {**told, "message": str(told["message"]).encode("utf-8", "replace").decode(), "fields": fields}
    return Response(
        wire.Refused(error=wire.Told(**told)).model_dump_json(), status, headers, media_type="application/json"
    )


def add_errors(api: FastAPI) -> None:
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
