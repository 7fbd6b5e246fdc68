"""A pipeline as YAML comes back as the same pipeline, with every setting described."""

from __future__ import annotations

import pytest
import yaml

from rag_opt.core.errors import BadInput
from rag_opt.core.registry import kinds
from rag_opt.pipeline.spec import SLOTS, PipelineSpec
from rag_opt.pipeline.spec_yaml import to_yaml

EVERY_KIND = [(slot, kind) for slot in SLOTS for kind in kinds(slot)]


@pytest.mark.parametrize(("slot", "kind"), EVERY_KIND, ids=str)
def test_a_pipeline_comes_back_and_every_setting_is_described(
    slot: str, kind: str, default_pipeline: dict[str, object]
) -> None:
    try:
        spec = PipelineSpec.from_dict({**default_pipeline, slot: {kind: {}}})
    except BadInput:  # a kind that has to be told something: its model
        spec = PipelineSpec.from_dict({**default_pipeline, slot: {kind: {"name": "a: #1 'model'"}}})
    text = to_yaml(spec, about="One line.\nAnother.")
    assert PipelineSpec.from_dict(yaml.safe_load(text)) == spec
    settings = [line for line in text.splitlines() if line.startswith("    ")]
    assert all("  # " in line for line in settings) and text.startswith("# One line.\n# Another.\n")
