"""The commands `questions make` and `questions label`: questions for documents that have none, or evidence."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.cli.composing import compose_and_run, fail
from rag_opt.cli.signals import Stopped, raise_when_stopped
from rag_opt.core.errors import BadInput, BudgetSpent, Problem, RagOptError, suggest_names

if TYPE_CHECKING:
    from rag_opt.core.documents import Corpus, Span
    from rag_opt.core.questions import Question
    from rag_opt.core.strict import PlainDict
    from rag_opt.pipeline.builder import PipelineBuilder
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.setup.schema import QuestionSettings, Settings
    from rag_opt.testset.evidence import Decision, Labeller

_SHOWN = 12
_USAGE = """python -m rag_opt.questions make | label [key=value ...]

  make   dataset=folder dataset.documents=docs/ questions.out=questions.jsonl [llm=openai_compatible llm.base_url=…]
         writes questions with evidence: by a language model where llm names one, else by rule, and says which
  label  dataset=folder dataset.documents=docs/ questions.file=asked.jsonl questions.out=questions.jsonl
         finds evidence: judged by the model, or confirmed by a person (questions.by=terminal, questions.by=page)

--cfg job shows every setting; `questions:` are those of this command."""


def main() -> None:
    """Run the command that the first argument names, with the config that the others compose."""
    given = sys.argv[1:2]
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(_USAGE)
        return
    if given in (["make"], ["label"]):
        del sys.argv[1]
        compose_and_run({"make": make, "label": label}[given[0]])
        return
    print(_USAGE)
    if given and given[0] not in ("--help", "-h"):
        fail(BadInput(f"there is no {given[0]!r}{suggest_names(given[0], ['make', 'label'])}"))


def make(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> None:
    """Write `questions.out`. Exits with 2 for input that cannot be used."""
    from rag_opt.testset.by_rule import make_by_rule

    raise_when_stopped()
    settings, corpus, builder, spec = _opened(composed, conf_folders)
    wanted, out = settings.questions, Path(settings.questions.out)
    if out.exists():
        raise BadInput([Problem("questions.out", f"{out} exists; name another file, or move it away")])
    if wanted.by in ("terminal", "page"):
        raise BadInput([Problem("questions.by", f"is {wanted.by}; questions are made by model or rule")])
    if wanted.by == "model" and builder.llm_client is None:
        raise BadInput([Problem("questions.by", "is model, but there is none: llm=openai_compatible llm.base_url=…")])
    if builder.llm_client is None or wanted.by == "rule":
        made = make_by_rule(corpus, count=wanted.count, seed=wanted.seed)
    else:
        made, stopped = _by_model(corpus, builder, spec, wanted)
        if stopped:
            print(f"stopped   {stopped}; nothing was written. The same command with a higher cap goes on from here")
            builder.close()
            sys.exit(1)
    by_rule = builder.llm_client is None or wanted.by == "rule"
    if len(made) < wanted.count:
        of = "what the documents say of themselves" if by_rule else _said(corpus, wanted)
        print(f"note      {len(made)} of {wanted.count}: that is all that was found to ask of {of}")
    if by_rule:
        _show_rough(made)
    if not made:
        builder.close()
        sys.exit(1)
    _write(out, made)
    _told(made, out)
    builder.close()


def _show_rough(made: Sequence[Question]) -> None:
    """Print the first questions that a rule made, each with how sure it is, so that a person can judge them."""
    from rag_opt.testset.by_rule import CONFIDENCE

    for question in made[:_SHOWN]:
        kind = question.kind.removeprefix("made: ")
        print(f"rough     {CONFIDENCE[kind]:.2f} {kind:<10} {question.text}")
    if len(made) > _SHOWN:
        print(f"          … and {len(made) - _SHOWN} more")


def _said(corpus: Corpus, wanted: QuestionSettings) -> str:
    from rag_opt.testset.passages import cut_passages

    count, size = len(cut_passages(corpus, size=wanted.passage_tokens)), wanted.passage_tokens
    return f"{count} passages (a smaller questions.passage_tokens than {size} makes more)"


def _by_model(
    corpus: Corpus, builder: PipelineBuilder, spec: PipelineSpec, wanted: QuestionSettings
) -> tuple[list[Question], str]:
    """Return the questions, and why not all were asked for."""
    from rag_opt.core.questions import Question
    from rag_opt.report.live_display import describe_usage
    from rag_opt.testset.by_model import QuestionWriter
    from rag_opt.testset.pooling import pool_candidates
    from rag_opt.testset.writing_tasks import plan_questions

    assert builder.llm_client is not None

    def nearest(text: str) -> Sequence[Span]:
        return pool_candidates(builder, spec, [Question("", text)], depth=wanted.candidates)[0]

    nearest("is everything built that is searched?")
    tasks = plan_questions(
        corpus,
        builder.encoder(spec.embedder),
        count=wanted.count,
        several=wanted.several,
        unanswerable=wanted.unanswerable,
        passage_tokens=wanted.passage_tokens,
        seed=wanted.seed,
    )
    written = QuestionWriter(corpus, builder.llm_client, nearest).write(
        tasks,
        count=wanted.count,
        report_progress=lambda count: print(f"\r{count} of {wanted.count}", end="", flush=True),
    )
    print()
    for why, count in written.dropped.most_common():
        print(f"left out  {count:>4} {why}")
    print(f"model     {describe_usage(builder.budget_tracker.total, builder.budget_tracker.budget)}")
    return written.questions, written.stopped


def label(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> None:
    """Write `questions.out` anew after every decision; an earlier decision is not asked for again."""
    from rag_opt.data.quotes import QuoteResolver
    from rag_opt.report.live_display import describe_usage
    from rag_opt.testset.labelled_file import LabelledFile
    from rag_opt.testset.pooling import PooledCandidates

    raise_when_stopped()
    settings, corpus, builder, spec = _opened(composed, conf_folders)
    wanted, out = settings.questions, Path(settings.questions.out)
    if wanted.file is None:
        raise BadInput([Problem("questions.file", "must be given: questions.file=asked.jsonl")])
    file = LabelledFile(Path(wanted.file), out, QuoteResolver(corpus))
    labeller = _labeller(settings, corpus, builder)
    open_rows = file.undecided
    print(f"{len(open_rows)} of {len(file.questions)} questions have no evidence yet")

    def done(place: int, decision: Decision) -> None:
        file.decide(open_rows[place], decision, labeller.who)

    exit_code = 0
    try:
        asked = [file.questions[row] for row in open_rows]
        labeller.label(asked, PooledCandidates(builder, spec, asked, at_once=wanted.candidates), done)
    except BudgetSpent as error:
        print(f"stopped   {error}")
    except Stopped as error:
        exit_code = error.exit_code
        print("\nStopped; what was decided is kept, the same command goes on.")
    except BadInput:
        raise
    except RagOptError as error:
        fail(error)
    file.write()
    _told(file.questions, out)
    if builder.budget_tracker.total.calls:
        print(f"model     {describe_usage(builder.budget_tracker.total, builder.budget_tracker.budget)}")
    builder.close()
    if exit_code:
        raise SystemExit(exit_code)


def _labeller(settings: Settings, corpus: Corpus, builder: PipelineBuilder) -> Labeller:
    from rich.console import Console

    from rag_opt.testset.by_person import PageLabeller, TerminalLabeller
    from rag_opt.testset.evidence import ModelLabeller

    wanted, by = settings.questions, settings.questions.by
    person = wanted.person or getpass.getuser()
    if by == "page":
        return PageLabeller(corpus, person, port=wanted.port, announce=lambda text: print(text, flush=True))
    if by == "terminal" or (by == "auto" and builder.llm_client is None and sys.stdin.isatty()):
        return TerminalLabeller(corpus, person, console=Console(highlight=False))
    if builder.llm_client is None or by == "rule":
        what = "llm=openai_compatible names a model; questions.by=terminal or page asks a person"
        raise BadInput([Problem("questions.by", f"is {by}, and nobody is there who could say: {what}")])
    return ModelLabeller(corpus, builder.llm_client)


def _opened(composed: PlainDict, conf_folders: list[Path]) -> tuple[Settings, Corpus, PipelineBuilder, PipelineSpec]:
    """Return settings, documents, and what searches them. Raises BadInput."""
    from rag_opt.setup.builders import open_documents

    return open_documents(composed, conf_folders=conf_folders)


def _write(out: Path, questions: Sequence[Question]) -> None:
    from rag_opt.data.question_lines import to_question_line
    from rag_opt.testset.labelled_file import write_lines

    out.parent.mkdir(parents=True, exist_ok=True)
    write_lines(out, [to_question_line(one) for one in questions])


def _told(questions: Sequence[Question], out: Path) -> None:
    from rag_opt.data.question_lines import describe_origins

    print(f"written   {len(questions)} questions to {out}")
    for line in describe_origins(questions):
        print(f"note      {line}")
