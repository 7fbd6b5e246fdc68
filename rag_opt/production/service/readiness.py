"""Whether a bundle may be asked: its files were checked when it was opened, and its golden question answers as seen."""

from __future__ import annotations

import dataclasses

from rag_opt.core.errors import RagOptError
from rag_opt.core.questions import Question
from rag_opt.production.bundle import Bundle
from rag_opt.production.parity import compare, golden_question


def warm_up(bundle: Bundle) -> str:
    """Ask the golden question, which loads everything; return why the bundle is not ready, empty where it is.

    Where a language model writes the answer only the passages are compared: it need not say the same twice.
    """
    golden = golden_question(bundle)
    try:
        if golden is None:
            bundle.try_retrieval([Question(id="", text="Is there anything?")])
            return ""
        if bundle.spec.generator.uses_llm:
            replies, failed = bundle.try_retrieval([golden.question])
            reply = replies[0]
            seen = dataclasses.replace(golden.seen, answer=reply.answer, refused=reply.refused)
        else:
            replies, failed = bundle.try_questions([golden.question])
            reply, seen = replies[0], golden.seen
    except RagOptError as error:
        return str(error)
    return failed[0] or compare(seen, reply)
