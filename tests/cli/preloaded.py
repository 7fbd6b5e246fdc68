"""Everything large that commands import, and the models that they load, for the process that they are forked from."""

import tempfile
from pathlib import Path

import bm25s
import chromadb
import mlflow
import optuna
import ragas.metrics.collections
import sentence_transformers
import torch

import rag_opt.cli.search_session
import rag_opt.setup.prepare
from rag_opt.cli.composing import compose, conf_folder
from rag_opt.core.documents import Corpus, Document
from rag_opt.data.language import detect_language
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.models.runtimes import Machine
from rag_opt.store.values import MemoryValues
from rag_opt.study.trials import open_storage

__all__ = ["bm25s", "chromadb", "mlflow", "optuna", "rag_opt", "ragas", "sentence_transformers", "torch"]

torch.set_num_threads(1)  # a forked process has no thread of its parent's
_encoder = Encoder(
    embedder_card_library([conf_folder()]).read("minilm"), values=MemoryValues(), machine=Machine(runtime="torch")
)
for purpose in ("query", "document", "sentence"):
    _encoder.vectors(["a text"], purpose)

detect_language(Corpus((Document("one", "A text in a language."),)))
compose([])
with tempfile.TemporaryDirectory() as folder:
    optuna.create_study(storage=open_storage(Path(folder) / "study.db"))
