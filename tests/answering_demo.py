"""make answering: a search over how a language model is asked, without any key: the model runs here, on loopback.

SmolLM2-135M (`make models`) by llama.cpp answers 15 questions about the Python language reference. Every call is real:
stored, counted, bounded by what the model says without any context and with the evidence itself.
`python -m tests.answering_demo OUTPUTS`; a second time asks nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.development_models import SMOLLM_FILE

if TYPE_CHECKING:
    from rag_opt.core.questions import Question

CONF = Path(__file__).parent / "answering_conf"
QUESTIONS = 15
HONEST = (
    "A model of 135 million parameters is no measure of answers: it copies, repeats and invents. What this shows is "
    "the path that a real model takes, and what each step costs."
)
SEARCH = [
    "study.name=answering",
    "study.trials=6",
    "study.finalists=2",
    "llm=openai_compatible",
    "llm.model=smollm2-135m-instruct",
    "llm.max_tokens=48",
    "llm.concurrency=2",
    "llm@judge=none",
    "space=answering_demo",
    "pipeline=answering_demo",
    "objective=answer_similarity",
]


@contextlib.contextmanager
def smollm(*, slots: int = 2, tokens: int = 2048) -> Iterator[str]:
    """Run SmolLM2 by llama.cpp on loopback, and give its address as `llm.base_url` has it."""
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path = str(SMOLLM_FILE)
    given.hostnames, given.port, given.model_alias = ["127.0.0.1"], 0, ["smollm2-135m-instruct"]
    given.n_ctx, given.n_parallel = slots * tokens, slots
    given.offline, given.ui, given.verbosity = True, False, -1
    server = xllamacpp.Server(given)
    yield f"{server.listening_address}/v1"
    del server


def line_of(question: Question) -> dict[str, object]:
    """The question as a line of a file of questions."""
    from rag_opt.core.documents import Span

    spans = [
        {"document": span.document_id, "start": span.start, "end": span.end}
        for need in question.evidence or ()
        for span in need[:1]
        if isinstance(span, Span)
    ]
    answers = list(question.right_answers)
    return {"id": question.id, "question": question.text, "answer": answers, "evidence": spans}


def calls_of(outputs: Path) -> int:
    """Requests to the model that the study has booked so far, all its runs together."""
    file = outputs / "answering" / "spending.sqlite"
    if not file.exists():
        return 0
    with contextlib.closing(sqlite3.connect(file)) as connection:
        ((count,),) = connection.execute("SELECT COUNT(*) FROM call")
    return int(count)


def main() -> None:
    """Search, and print what was asked and some answers."""
    import rag_opt
    from rag_opt.data.datasets.python_reference import PythonReference

    if not SMOLLM_FILE.is_file():
        raise SystemExit("there is no SmolLM2 here: make models")
    outputs = sys.argv[1] if len(sys.argv) > 1 else "outputs"
    started, before = time.perf_counter(), calls_of(Path(outputs))
    dataset = PythonReference().read()
    answerable = [question for question in dataset.questions if question.answerable and question.right_answers]
    some = [answerable[number * len(answerable) // QUESTIONS] for number in range(QUESTIONS)]
    lines = [line_of(question) for question in some]
    with smollm() as address:
        overrides = [*SEARCH, f"outputs={outputs}", f"llm.base_url={address}"]
        study = rag_opt.run_search(overrides, documents=dataset.corpus.documents, questions=lines, config_dirs=[CONF])
    best, asked = study.best, calls_of(Path(outputs)) - before
    assert best is not None
    print(f"\n{time.perf_counter() - started:.0f} s, {asked} calls in this run. {HONEST}\n")
    for row in study.rows(best.number)[:5]:
        print(f"question  {row['question']}\nanswer    {row['answer']}\n")


if __name__ == "__main__":
    main()
