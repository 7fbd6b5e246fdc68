"""What goes over the wire: requests, checked field by field, and replies."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict  # pydantic takes that of Python 3.11 no further

from rag_opt.production.passages import Passage, Reply

_ALLOWED_CONTROLS = "\n\r\t"
_LARGEST = 2**63 - 1


def _validate_text(text: str) -> str:
    """Return the text. Raises ValueError for one that says nothing, or has characters that no text has."""
    if not text.strip():
        raise ValueError("is empty")
    return _validate_plain(text)


def _validate_plain(text: str) -> str:
    """Return the text. Raises ValueError for one with characters that no text has."""
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in _ALLOWED_CONTROLS for c in text):
        raise ValueError("has control characters")
    return text


# the same, as other programs read it; the longest question is a setting
_PATTERN = r"^\s*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
Text = Annotated[str, AfterValidator(_validate_text), Field(json_schema_extra={"minLength": 1, "pattern": _PATTERN})]
Plain = Annotated[str, AfterValidator(_validate_plain)]
Number = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)] | Annotated[float, Field(allow_inf_nan=False)]
FilterValue = Plain | Number | bool

Bound = Plain | Number

# a condition of core/filters.py, which says what goes together
Condition = TypedDict(
    "Condition",
    {
        "in": Annotated[list[FilterValue], Field(min_length=1, max_length=1000)],
        "gt": Bound,
        "gte": Bound,
        "lt": Bound,
        "lte": Bound,
        "absent": Literal[True],
    },
    total=False,
)
Condition.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]  # `in` names no field of a class

Filters = Annotated[
    dict[Plain, FilterValue | Condition],
    Field(
        max_length=32,
        description="Only documents whose metadata fit are answered from: a value that equals, or a condition.",
        examples=[{}],
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AskedQuestion(_Strict):
    """A question."""

    question: Text = Field(description="Text of the question.", examples=["How long is the notice period?"])
    filters: Filters = Field(default_factory=dict)


class AskedQuestions(_Strict):
    """Several questions, answered in their order."""

    questions: list[AskedQuestion] = Field(min_length=1)


class PlaceInDocument(_Strict):
    """A place in a document, by half-open offsets of its text; without offsets the whole document."""

    document: Plain = Field(max_length=4096)
    start: int | None = Field(default=None, ge=0, le=_LARGEST)
    end: int | None = Field(default=None, ge=0, le=_LARGEST)

    @model_validator(mode="after")
    def _validate_order(self) -> PlaceInDocument:
        if (self.start is None) != (self.end is None) or (self.start or 0) >= (self.end or 1):
            raise ValueError("a place has both offsets, start before end, or neither")
        return self


class AskedDocument(_Strict):
    """A document whose text is wanted."""

    document: Plain = Field(max_length=4096, description="Id of the document, as passages name it.")
    filters: Filters = Field(default_factory=dict)


class Feedback(_Strict):
    """What a person says of a reply. `question` is wanted where the service does not remember the reply any more."""

    id: Plain = Field(max_length=64, description="Id of the reply.")
    thumb: Literal["up", "down"] | None = None
    right_passage: PlaceInDocument | None = Field(default=None, description="Where the answer stands.")
    comment: Text | None = Field(default=None, max_length=4000)
    question: Text | None = None


class FoundPassage(BaseModel):
    """A passage, best first: `document[start:end]` is its text."""

    document: str
    start: int
    end: int
    text: str
    score: float
    page: int | None
    headings: tuple[str, ...]
    header: str


class Cited(BaseModel):
    """A place that an answer rests on."""

    document: str
    start: int
    end: int


class Found(BaseModel):
    """Passages for one question."""

    id: str
    question: str
    passages: list[FoundPassage]
    latency_ms: dict[str, float]


class Answered(Found):
    """The answer to one question; empty where the pipeline refuses to answer it from what it found."""

    answer: str
    refused: bool
    cited: list[Cited]


class FoundBatch(BaseModel):
    """Passages for several questions, in their order."""

    replies: list[Found]


class AnsweredBatch(BaseModel):
    """Answers to several questions, in their order."""

    replies: list[Answered]


class FoundDocument(BaseModel):
    """The text of a document."""

    document: str
    title: str
    text: str


class Told(BaseModel):
    """What went wrong: what kind of fault, a sentence, and the fields that it is about."""

    type: str
    message: str
    fields: list[str] = Field(default_factory=list)


class Refused(BaseModel):
    """A request that was not served."""

    error: Told


class Taken(BaseModel):
    """Feedback that was written."""

    id: str
    taken: bool


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: str
    reason: str = ""


def to_found(id: str, reply: Reply) -> Found:
    """Return passages as they go over the wire."""
    latency = {stage: round(ms, 3) for stage, ms in reply.latency_ms.items()}
    return Found.model_construct(id=id, question=reply.question, passages=_passages(reply), latency_ms=latency)


def to_answered(id: str, reply: Reply) -> Answered:
    """Return an answer as it goes over the wire."""
    cited = [Cited.model_construct(document=s.document_id, start=s.start, end=s.end) for s in reply.cited]
    latency = {stage: round(ms, 3) for stage, ms in reply.latency_ms.items()}
    return Answered.model_construct(
        id=id, question=reply.question, passages=_passages(reply), latency_ms=latency, answer=reply.answer,
        refused=reply.refused, cited=cited,
    )  # fmt: skip


def _passages(reply: Reply) -> list[FoundPassage]:
    return [_passage(one) for one in reply.hits]


def _passage(one: Passage) -> FoundPassage:
    fields: dict[str, Any] = vars(one)
    return FoundPassage.model_construct(None, **fields)
