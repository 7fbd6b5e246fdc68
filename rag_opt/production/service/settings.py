"""Settings of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Gt
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ServiceSettings:
    """What a service allows, and where it keeps feedback."""

    name: Annotated[str, Doc("Name of the bundle, as `/v1/models` and metrics call it.")] = "rag_opt"
    keys: Annotated[tuple[str, ...], Doc("Keys that callers must send, one of them; none: anybody may ask.")] = ()
    max_characters: Annotated[int, Ge(1), Doc("Longest question, in characters.")] = 4000
    max_questions: Annotated[int, Ge(1), Doc("Most questions of one request.")] = 64
    max_body_bytes: Annotated[int, Ge(1000), Doc("Largest body of a request.")] = 1_000_000
    max_waiting: Annotated[int, Ge(1), Doc("Questions that may wait; a further one gets 503.")] = 256
    max_connections: Annotated[int, Ge(1), Doc("Requests that may be open at once; a further one gets 503.")] = 512
    per_minute: Annotated[int, Ge(0), Doc("Questions a minute of one key, or address; 0: any number.")] = 0
    timeout_s: Annotated[float, Gt(0), Doc("Seconds after which a request gets 504; SIGTERM waits as long.")] = 30.0
    body_timeout_s: Annotated[float, Gt(0), Doc("Seconds in which a body must have arrived.")] = 10.0
    drain_s: Annotated[float, Ge(0), Doc("Seconds between SIGTERM and the end of accepting connections.")] = 1.0
    retry_s: Annotated[float, Gt(0), Doc("Seconds until a golden question that failed is asked again.")] = 5.0
    at_once: Annotated[int, Ge(1), Doc("Most questions of a micro-batch.")] = 32
    model_calls: Annotated[int, Ge(1), Doc("Questions that a language model works on at once.")] = 16
    origins: Annotated[tuple[str, ...], Doc("Origins of pages that browsers may call from; none: only its own.")] = ()
    feedback: Annotated[Path | None, Doc("File that feedback is appended to; null: none is taken.")] = None
    remembered_bytes: Annotated[int, Ge(0), Doc("Most bytes of replies that feedback may still name.")] = 8_000_000
