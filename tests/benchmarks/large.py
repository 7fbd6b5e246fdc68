"""Memory: many chunks of 384 dimensions built, searched and scored, in a process of its own.

RAG_OPT_BENCH_CHUNKS sets how many (100,000; a million take more than half an hour).

Texts are made up of real words, the model is a static one of random vectors: neither changes what is held.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_CHUNKS, _TOKENS = int(os.environ.get("RAG_OPT_BENCH_CHUNKS", "100000")), 32
_DOCUMENTS, _QUESTIONS = 1_000, 200


def measure() -> list[tuple[str, str, str]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.large"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return [(f"{_CHUNKS:,} chunks", f"failed: {done.stderr[-300:]}", "6 GB")]
    facts = json.loads(done.stdout.splitlines()[-1])
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in facts["seconds"].items())
    what = f"{facts['chunks']:,} chunks of 384 dimensions built, searched and scored"
    return [(what, f"{facts['gigabytes']:.2f} GB at most ({took}; recall {facts['recall']:.3f})", "6 GB for 1,000,000")]


def main() -> None:
    from rag_opt.cli.composing import conf_folder
    from rag_opt.core.documents import Corpus, Document, Span
    from rag_opt.core.questions import Question
    from rag_opt.core.registry import load_parts
    from rag_opt.data.document_file import collect_documents
    from rag_opt.metrics.evidence import score_evidence_recall
    from rag_opt.models.embedder_cards import embedder_card_library
    from rag_opt.pipeline.builder import PipelineBuilder
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.store.artifacts import Store

    load_parts()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        words = _static_model(folder, embedder_card_library([conf_folder()]).read("minilm").folder)
        count = _CHUNKS // _DOCUMENTS * _TOKENS
        written = (
            Document(f"d{number:04}", " ".join(random.choice(words, count).tolist())) for number in range(_DOCUMENTS)
        )
        documents = collect_documents(written)
        questions = []
        for number in range(_QUESTIONS):
            document = documents[number * (_DOCUMENTS // _QUESTIONS)]
            text = document.text
            start = text.index(" ", int(random.integers(len(text) // 2))) + 1
            span = Span(document.id, start, start + 100)
            questions.append(Question(f"{number}", text[start : start + 100], evidence=((span,),)))
        store = Store(folder / "store")
        builder = PipelineBuilder(Corpus(documents), store, embedder_card_library([conf_folder(), folder]))
        pipeline = builder.pipeline(
            PipelineSpec.from_dict(
                {
                    "chunker": {"fixed": {"size": _TOKENS}},
                    "embedder": {"model": {"name": "static"}},
                    "retriever": {"rrf": {"top_k": 10}},
                    "reranker": {"none": {}},
                    "packer": {"ranked": {}},
                    "generator": {"extractive": {}},
                }
            )
        )
        started = time.perf_counter()
        recall = float(score_evidence_recall(pipeline.retrieve(questions).hits, questions, builder.corpus).mean())
        spent: dict[str, float] = {}
        for stage, (_, seconds) in builder.stage_timer.spent.items():
            spent[stage.split("/")[0]] = spent.get(stage.split("/")[0], 0.0) + seconds
        facts = {
            "chunks": len(pipeline.chunks),
            "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "seconds": {**spent, "together": time.perf_counter() - started},
            "recall": recall,
        }
        builder.close()
        store.close()
    print(json.dumps(facts))


def _static_model(folder: Path, source: Path) -> list[str]:
    """A card named static in `folder`; the whole words of its vocabulary."""
    import yaml
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    weights = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 384)).astype(np.float32)
    model = folder / "model"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save_pretrained(str(model))
    (model / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    (folder / "embedder").mkdir()
    card = {"id": "static", "path": str(model), "dimensions": 384, "reads_tokens": 256}
    (folder / "embedder" / "static.yaml").write_text(yaml.safe_dump(card))
    return [word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2]


if __name__ == "__main__":
    main()
