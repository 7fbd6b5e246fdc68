"""Everything large that commands import, and the model that they load, for the process that they are forked from."""

import chromadb
import mlflow
import optuna
import ragas.metrics.collections
import sentence_transformers
import torch

import rag_opt.cli.search_session
import rag_opt.setup.prepare
from rag_opt.cli.composing import conf_folder
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.models.runtimes import Machine
from rag_opt.store.values import MemoryValues

__all__ = ["chromadb", "mlflow", "optuna", "rag_opt", "ragas", "sentence_transformers", "torch"]

torch.set_num_threads(1)  # a forked process has no thread of its parent's
_encoder = Encoder(
    embedder_card_library([conf_folder()]).read("minilm"), values=MemoryValues(), machine=Machine(runtime="torch")
)
for purpose in ("query", "document", "sentence"):
    _encoder.vectors(["a text"], purpose)
