"""Everything large that commands import, for the process that they are forked from. Nothing here is started."""

import chromadb
import mlflow
import optuna
import ragas.metrics.collections
import sentence_transformers
import torch

import rag_opt.cli.search_session
import rag_opt.setup.prepare

__all__ = ["chromadb", "mlflow", "optuna", "rag_opt", "ragas", "sentence_transformers", "torch"]
