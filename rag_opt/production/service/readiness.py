"""Whether a bundle may be asked: its files were checked when it was opened, and its golden question answers as seen."""

from __future__ import annotations

from typing import NamedTuple

from rag_opt.core.questions import Question
from rag_opt.production.bundle import Bundle
from rag_opt.production.parity import compare, compare_passages, golden_question

_NO_MODEL = "a model that it needs cannot be used"


class NotReady(NamedTuple):
    """Why a bundle may not be asked: a word for anybody, and what only its operator is told. Both empty: it may be."""

    public: str = ""
    detail: str = ""


def warm_up(bundle: Bundle) -> NotReady:
    """Ask the golden question, which loads everything, and return why the bundle is not ready.

    Where a language model writes the answer only the passages are compared: it need not say the same twice.
    """
    golden = golden_question(bundle)
    try:
        if golden is None:
            _, failed = bundle.try_retrieval([Question(id="", text="Is there anything?")])
            return NotReady(_NO_MODEL, failed[0]) if failed[0] else NotReady()
        if bundle.spec.generator.uses_llm:
            replies, failed = bundle.try_retrieval([golden.question])
            different = compare_passages(golden.seen, replies[0])
        else:
            replies, failed = bundle.try_questions([golden.question])
            different = compare(golden.seen, replies[0])
    except Exception as error:  # of any library: a service that died of it could not ask again and become ready
        return NotReady(_NO_MODEL, f"{type(error).__name__}: {error}")
    return NotReady(_NO_MODEL, failed[0]) if failed[0] else NotReady(different)
