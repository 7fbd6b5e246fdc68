"""Language models with random weights for foreign servers: a folder for transformers, a GGUF for llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, INNER, LAYERS, HEADS, CONTEXT = 32, 64, 2, 4, 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_for_transformers(folder: Path) -> Path:
    """A Llama of 200 kB that says printable characters and ends by itself."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["what is the answer to the question"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=SPECIAL[2], pad_token=SPECIAL[0])
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    said = {i: tokenizer.decode([i]) for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids}
    unsaid = [i for i, text in said.items() if not (text and text.isascii() and text.isprintable())]
    model.generation_config = GenerationConfig(
        do_sample=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=[*unsaid, *(i for i in tokenizer.all_special_ids if i != tokenizer.eos_token_id)],
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_for_llama_cpp(path: Path) -> Path:
    """The same kind of model as a GGUF. Its first hidden number is a constant, so that the first column of its output
    is a bias: only printable characters and the end are ever said.
    """
    import gguf

    random = np.random.default_rng(0)
    characters = _byte_characters()
    tokens = [*SPECIAL, *characters]
    kinds = [gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * len(characters)
    writer = gguf.GGUFWriter(str(path), "llama")
    for setting, value in {
        "context_length": CONTEXT,
        "embedding_length": HIDDEN,
        "block_count": LAYERS,
        "feed_forward_length": INNER,
        "head_count": HEADS,
        "head_count_kv": HEADS,
        "rope_dimension_count": HIDDEN // HEADS,
        "layer_norm_rms_eps": 1e-5,
        "vocab_size": len(tokens),
        "file_type": gguf.LlamaFileType.ALL_F32,
        "tokenizer_model": "gpt2",
        "tokenizer_pre": "gpt-2",
        "token_list": tokens,
        "token_types": kinds,
        "token_merges": ["t h"],
        "eos_token_id": 2,
        "pad_token_id": 0,
        "add_bos_token": False,
        "chat_template": TEMPLATE,
    }.items():
        getattr(writer, f"add_{setting}")(value)

    def weights(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.4).astype(np.float32)

    embedding, output = weights(len(tokens), HIDDEN), weights(len(tokens), HIDDEN)
    embedding[:, 0], output[:, 0] = 2.0, -300.0
    output[[len(SPECIAL) + b for b in range(33, 127)], 0], output[2, 0] = 0.0, 0.5
    tensors = {"token_embd": embedding, "output_norm": np.ones(HIDDEN, np.float32), "output": output}
    for layer in range(LAYERS):
        inner = {"attn_norm": np.ones(HIDDEN, np.float32), "ffn_norm": np.ones(HIDDEN, np.float32)}
        inner |= {f"attn_{name}": weights(HIDDEN, HIDDEN) for name in ("q", "k", "v", "output")}
        inner |= {
            "ffn_gate": weights(INNER, HIDDEN),
            "ffn_up": weights(INNER, HIDDEN),
            "ffn_down": weights(HIDDEN, INNER),
        }
        inner["attn_output"][0] = inner["ffn_down"][0] = 0.0
        tensors |= {f"blk.{layer}.{name}": value for name, value in inner.items()}
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _byte_characters() -> list[str]:
    """The character that stands for each byte in GPT-2's tokenizer."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]
