"""Names of the files and folders of a bundle (`bundle_writing.py` says what they hold)."""

from __future__ import annotations

SPEC, DOCUMENTS, CHUNKS, INDEX = "spec.json", "documents.jsonl", "chunks", "index"
CARD, MODEL, TOKENIZER, CARDS = "card.json", "model", "tokenizer", "cards"
RERANKER, INDEX_MODEL, MODEL_FILES = "reranker", "index_model", "model_files.txt"
BUDGET_TOKENIZER, TEXT_MAPS, SENTENCES = "budget_tokenizer", "text_maps", "sentences"
LLM, PROMPT = "llm.json", "prompt"
MODEL_CARD, REQUIREMENTS = "README.md", "requirements.txt"
