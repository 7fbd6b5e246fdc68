"""Generation: the answer to each question with its context, made once for each pair of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import orjson

from rag_opt.core import strict
from rag_opt.core.arrays import FloatArray, Vectors
from rag_opt.core.digests import digest, item_key
from rag_opt.core.documents import Answer, Span
from rag_opt.core.questions import Question
from rag_opt.core.source_digest import source_digest
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.prompts import Prompt
from rag_opt.models.llm.settings import Request
from rag_opt.parts.interfaces import ExtractiveGenerator, Generator, LLMGenerator, PassagesOnly
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.model_usage import ModelUsage
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.values import Values

Contexts = Sequence[Sequence[Span]]


class Generation:
    """The generator of one pipeline. `prompt` reads a prompt by its name."""

    def __init__(
        self,
        *,
        texts: CorpusText,
        encoder: Encoder,
        values: Values,
        llm_client: LLMClient | None,
        prompt: Callable[[str], Prompt],
        stage_timer: StageTimer,
    ) -> None:
        self._texts, self._encoder, self._values = texts, encoder, values
        self._llm_client, self._prompt, self._stage_timer = llm_client, prompt, stage_timer

    def __call__(
        self, part: Generator, questions: Sequence[Question], vectors: Vectors, contexts: Contexts, usage: ModelUsage
    ) -> tuple[list[Answer], FloatArray]:
        """Return the answers, and the milliseconds that each took when it was first given."""
        if isinstance(part, LLMGenerator):
            return self._by_llm(part, questions, contexts, usage)
        if isinstance(part, PassagesOnly):
            return [Answer("", refused=False)] * len(questions), np.zeros(len(questions))
        return self._by_extraction(part, questions, vectors, contexts)

    def prepare(
        self, part: LLMGenerator, question: Question, context: Sequence[Span]
    ) -> tuple[Request, Callable[[str], Answer]]:
        """Return what the language model is asked for one question with its context, and what reads its answer."""
        prompt, arranged = self._prompt(part.prompt), part.arrange(context)
        texts = [self._texts.passage(span) for span in arranged]
        return part.request(question.text, texts, prompt), lambda text: part.read_answer(text, arranged, prompt)

    def _by_llm(
        self, part: LLMGenerator, questions: Sequence[Question], contexts: Contexts, usage: ModelUsage
    ) -> tuple[list[Answer], FloatArray]:
        assert self._llm_client is not None
        prompt = self._prompt(part.prompt)
        arranged = [part.arrange(context) for context in contexts]
        texts = [[self._texts.passage(span) for span in context] for context in arranged]
        # a question whose retrieval failed has no score anyway
        rows = [row for row in range(len(questions)) if not usage.failed[row]]
        requests = [part.request(questions[row].text, texts[row], prompt) for row in rows]
        with self._stage_timer.timed(f"answer {part.kind}", self._count_tokens(arranged[row] for row in rows)):
            replies = usage.complete(self._llm_client, requests, rows)
        answers, took_ms = [Answer("", refused=False)] * len(questions), np.full(len(questions), np.nan)
        for row, reply in zip(rows, replies, strict=True):
            if reply is not None:
                answers[row], took_ms[row] = part.read_answer(reply.text, arranged[row], prompt), reply.took_ms
        return answers, took_ms

    def _by_extraction(
        self, part: ExtractiveGenerator, questions: Sequence[Question], vectors: Vectors, contexts: Contexts
    ) -> tuple[list[Answer], FloatArray]:
        keys = self._keys(part, questions, contexts)

        def compute(positions: list[int]) -> list[bytes]:
            clock = _Clock(self._encoder)
            with self._stage_timer.timed(f"answer {part.kind}", self._count_tokens(contexts[i] for i in positions)):
                answers = part.answer(
                    vectors[positions],
                    [contexts[position] for position in positions],
                    sentences=self._sentences,
                    text=self._texts.of,
                    vectors=clock.vectors,
                )
            elapsed_ms = clock.elapsed_ms() / len(positions)
            return [
                orjson.dumps([a.text, a.refused, [span.to_list() for span in a.cited], a.confidence, elapsed_ms])
                for a in answers
            ]

        stored = [orjson.loads(value) for value in self._values.fill("answers", keys, compute)]
        answers = [
            Answer(text, refused, tuple(Span(*span) for span in cited), confidence)
            for text, refused, cited, confidence, _ in stored
        ]
        return answers, np.array([elapsed_ms for *_, elapsed_ms in stored], float)

    def _keys(self, part: ExtractiveGenerator, questions: Sequence[Question], contexts: Contexts) -> list[bytes]:
        sources = [source_digest(type(part).__module__), source_digest("rag_opt.pipeline.corpus_text")]
        namespace = digest([part.kind, strict.dump(part), *sources, self._encoder.vectors_key])
        # sentences are found in whole documents, so what stands around a passage is part of what determined it
        documents = self._texts.digest
        passages = [[[*span.to_list(), documents(span.document_id)] for span in context] for context in contexts]
        return [item_key(namespace, [q.text, context]) for q, context in zip(questions, passages, strict=True)]

    def _count_tokens(self, contexts: Iterable[Sequence[Span]]) -> float:
        """Return the tokens of several contexts: the work of answering from them."""
        return float(sum(self._texts.tokens(span) for context in contexts for span in context))

    def _sentences(self, span: Span) -> list[Span]:
        """Return the sentences of a span, none longer than the model reads."""
        return self._texts.sentences(span, tokenizer=self._encoder.tokenizer, most_tokens=self._encoder.document_tokens)


class _Clock:
    """Time since it was made, with vectors counted at what they first took, stored or not."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._started = time.perf_counter()
        self._vectors_ms = 0.0
        self._waited_s = 0.0

    def vectors(self, texts: Sequence[str]) -> Vectors:
        started = time.perf_counter()
        vectors, took_ms = self._encoder.timed_vectors(texts, "sentence")
        self._vectors_ms += float(took_ms.sum())
        self._waited_s += time.perf_counter() - started
        return vectors

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self._started - self._waited_s) * 1000 + self._vectors_ms
