"""Whatever fits, or nearly fits, what the service says of itself gets an answer below 500."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from rag_opt.production.bundle import Bundle
from tests.production.service.conftest import serve

THIN, WHOLE = 20, 1000
PATHS = ["/ask", "/ask/batch", "/retrieve", "/retrieve/batch", "/v1/chat/completions", "/document", "/feedback"]


def ask_everything(bundle: Bundle, examples: int, feedback: Path) -> dict[str, int]:
    """Send so many generated requests to every operation; return how many got which status."""
    statuses: dict[str, int] = {}
    with serve(bundle, feedback=feedback, max_waiting=10_000) as client:
        schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
        for path in PATHS:
            operation = schema[path]["POST"]
            strategy = operation.as_strategy(
                generation_mode=schemathesis.GenerationMode.POSITIVE
            ) | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

            @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            def send(case: schemathesis.Case) -> None:
                response = case.call(base_url=str(client.base_url))
                case.validate_response(response, checks=[not_a_server_error])
                statuses[str(response.status_code)] = statuses.get(str(response.status_code), 0) + 1

            given(case=strategy)(send)()
    return statuses


def test_some_generated_requests_get_no_server_error(bundle: Bundle, tmp_path: Path) -> None:
    statuses = ask_everything(bundle, THIN, tmp_path / "feedback.jsonl")
    assert statuses.get("200", 0) > 10 and sum(count for code, count in statuses.items() if code[0] == "4") > 10


@pytest.mark.integration
def test_a_thousand_generated_requests_an_operation_get_no_server_error(bundle: Bundle, tmp_path: Path) -> None:
    statuses = ask_everything(bundle, WHOLE, tmp_path / "feedback.jsonl")
    print(statuses)
    assert sum(statuses.values()) >= WHOLE * len(PATHS) * 0.9
