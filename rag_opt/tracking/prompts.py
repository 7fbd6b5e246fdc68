"""The winner's prompt as a version in MLflow's registry, linked to the study's run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from rag_opt.core.strict import PlainMapping

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LINKED = "mlflow.linkedPrompts"


def register_prompt(
    client: MlflowClient, run_id: str, study: str, spec: PlainMapping, prompts: Mapping[str, Mapping[str, str]]
) -> None:
    """Register the prompt of a pipeline, where its generator has one, and link it to a run.

    `prompts`: system and user text by name.
    """
    settings: PlainMapping = next(iter(spec.get("generator", {}).values()), {})
    name = str(settings.get("prompt", ""))
    if name not in prompts:
        return
    texts = [(role, prompts[name].get(role, "")) for role in ("system", "user")]
    template = [{"role": role, "content": _places(text)} for role, text in texts if text]
    version = client.register_prompt(f"rag_opt-{study}-{name}", template, commit_message=f"winner of {study}")
    # as `link_prompt_version_to_run` does, which looks for the run where MLflow's global setting points
    client.set_tag(run_id, _LINKED, orjson.dumps([{"name": version.name, "version": str(version.version)}]).decode())


def _places(text: str) -> str:
    """Return a prompt with its places as MLflow writes them: {{ question }}."""
    return re.sub(r"\{(\w+)\}", r"{{ \1 }}", text)
