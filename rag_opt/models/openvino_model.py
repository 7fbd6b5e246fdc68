"""A transformer that OpenVINO runs, in the place of the torch module."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class _HiddenStates(torch.nn.Module):  # type: ignore[misc]  # torch is read as untyped
    """The transformer with named inputs and one output, as it is exported."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
        """Return the vectors of the tokens, shape (texts, tokens, dimensions); OpenVINO traces this."""
        kinds = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **kinds).last_hidden_state


class OpenVinoModel(torch.nn.Module):  # type: ignore[misc]  # as above
    """A transformer compiled by OpenVINO: traced by one example batch, for any batch size and length."""

    def __init__(self, model: Any, example: Mapping[str, Any], precision: str) -> None:
        super().__init__()
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # else an export is reported home
        import openvino

        self.config = model.config
        self._names = [name for name in _INPUTS if name in example]
        inputs = {name: example[name] for name in self._names}
        exported = openvino.convert_model(_HiddenStates(model), example_input=inputs)
        hints = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        self._run = openvino.Core().compile_model(exported, "CPU", hints)
        # sentence-transformers asks the parameters of a model where it lies
        self.place = torch.nn.Parameter(torch.zeros(0), requires_grad=False)

    def forward(self, **features: Any) -> dict[str, Any]:
        """Return the vectors of the tokens under the name that sentence-transformers pools."""
        outputs = self._run({name: features[name].numpy() for name in self._names})
        return {"last_hidden_state": torch.from_numpy(outputs[0].copy())}
