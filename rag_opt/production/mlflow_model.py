"""A bundle as an MLflow model (models from code): MLflow copies this file into the model and runs it where it serves.

Rows in: `question`, and where wanted `filters`, a JSON object as text. Rows out: `answer`, `refused`, `passages`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import mlflow
import orjson
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema
from pydantic import ValidationError

from rag_opt.core.errors import BadInput, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_reading import load_bundle
from rag_opt.production.passages import Passage, Reply
from rag_opt.production.service.wire import AskedQuestion

BUNDLE = "bundle"  # name of the artifact
_PASSAGE_TYPES = {
    "document": DataType.string,
    "start": DataType.long,
    "end": DataType.long,
    "text": DataType.string,
    "score": DataType.double,
}


def build_signature() -> ModelSignature:
    """Return the typed columns that the model takes and gives."""
    passage = Object([Property(name, kind) for name, kind in _PASSAGE_TYPES.items()])
    inputs = [ColSpec(DataType.string, "question"), ColSpec(DataType.string, "filters", required=False)]
    answer, refused = ColSpec(DataType.string, "answer"), ColSpec(DataType.boolean, "refused")
    return ModelSignature(Schema(inputs), Schema([answer, refused, ColSpec(Array(passage), "passages")]))


def build_input_example(required_filters: Sequence[str] = ()) -> pd.DataFrame:
    """Return an example of what the model takes; nobody's own question, since it is kept with the model."""
    filters = orjson.dumps(dict.fromkeys(required_filters, "…")).decode()
    return pd.DataFrame([{"question": "How long is the notice period?", "filters": filters}])


class BundleModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow is read as untyped
    """Answers from the bundle that is the model's artifact."""

    def load_context(self, context: Any) -> None:
        """Open the bundle; plug-ins and custom code are those that were allowed when it was registered."""
        allowed = context.model_config or {}
        self._bundle = load_bundle(
            context.artifacts[BUNDLE],
            plugins=allowed.get("plugins") or (),
            allow_code=allowed.get("allow_code") or (),
        )

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return answer, refusal and passages (best first) of every row; a wrong row raises MlflowException.

        `context` and `params` are not used: MLflow passes them.
        """
        try:
            return _to_frame(self._bundle.ask_questions(_read_rows(self._bundle, model_input)))
        except BadInput as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        except ServerFailed as error:  # a language model that the pipeline needs
            raise MlflowException(str(error), error_code=TEMPORARILY_UNAVAILABLE) from None


def _read_rows(bundle: Bundle, rows: pd.DataFrame | Sequence[Any]) -> list[Question]:
    """Return the questions of a table, of a list of mappings or of a list of texts. Raises BadInput."""
    records = rows.to_dict(orient="records") if isinstance(rows, pd.DataFrame) else list(rows)
    return [_read_row(bundle, row, number) for number, row in enumerate(records)]


def _read_row(bundle: Bundle, row: Any, number: int) -> Question:
    columns = {"question": row} if isinstance(row, str) else dict(row)
    filters = columns.get("filters")
    try:
        if isinstance(filters, str):
            filters = orjson.loads(filters or "{}")
        elif filters is None or filters != filters:  # a missing cell of a table is NaN  # noqa: PLR0124
            filters = {}
        asked = AskedQuestion.model_validate({"question": columns.get("question"), "filters": filters})
    except orjson.JSONDecodeError as error:
        raise BadInput(f"row {number}: filters are no JSON: {error}") from None
    except ValidationError as error:
        places = (".".join(map(str, one["loc"])) + " " + one["msg"] for one in error.errors())
        raise BadInput(f"row {number}: {'; '.join(places)}") from None
    bundle.check_filters(asked.filters)
    return Question(id="", text=asked.question, filters=asked.filters)


def _to_frame(replies: Sequence[Reply]) -> pd.DataFrame:
    rows = [
        {"answer": reply.answer, "refused": reply.refused, "passages": [_plain(hit) for hit in reply.hits]}
        for reply in replies
    ]
    return pd.DataFrame(rows, columns=["answer", "refused", "passages"])


def _plain(hit: Passage) -> dict[str, Any]:
    fields = dataclasses.asdict(hit)
    return {name: fields[name] for name in _PASSAGE_TYPES}


mlflow.models.set_model(BundleModel())
