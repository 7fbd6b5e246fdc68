"""Language models as rerankers: the logits of two answers behind a fixed prompt say how well a text answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rag_opt.core.errors import ModelRefused
from rag_opt.models.loaded_models import load_once, loading_options, run_in_halves
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.runtimes import ModelFiles, Runtime, weights_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PAIRS_AT_ONCE = 16


class LogitModel:
    """A causal language model by transformers, asked for the logits after the last token alone.

    A pair is prefix, prompt and suffix, cut into tokens apart; of a pair that is too long the prompt loses its end, so
    that the question for the verdict is always read. The score is the log-odds of the relevant answer over the other
    (Nogueira et al., 2020): any monotone form of it ranks alike.
    """

    def __init__(self, card: RerankerCard, files: ModelFiles, runtime: Runtime) -> None:
        self._card, self._files, self._runtime = card, files, runtime

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one log-odds per (question, text)."""
        weighs = weights_bytes(self._files.folder)
        model, tokenizer = load_once((self._files, self._runtime, "logits"), weighs, self._load)
        inputs = self._tokenize(tokenizer, pairs)
        answers = [self._answer_id(tokenizer, a) for a in (self._card.relevant_token, self._card.irrelevant_token)]
        order = sorted(range(len(pairs)), key=lambda i: -len(inputs[i]))  # longest first: memory runs out early
        found = np.zeros(len(pairs), np.float32)

        def run(some: Sequence[int]) -> list[float]:
            return _log_odds(model, [inputs[i] for i in some], tokenizer.pad_token_id or 0, answers)

        for first in range(0, len(order), _PAIRS_AT_ONCE):
            some = order[first : first + _PAIRS_AT_ONCE]
            found[some] = run_in_halves(run, some)
        return found

    def _tokenize(self, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        card = self._card

        def ids(texts: list[str]) -> list[list[int]]:
            tokenized: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
            return tokenized

        before, after = ids([card.prefix])[0] if card.prefix else [], ids([card.suffix])[0] if card.suffix else []
        room = card.reads_tokens - len(before) - len(after)
        if room <= 0:
            raise ModelRefused(
                f"{card.where}: prefix and suffix alone are longer than the {card.reads_tokens} it reads"
            )
        prompts = [_fill(card.prompt, card.instruction, question, text) for question, text in pairs]
        return [[*before, *inside[:room], *after] for inside in ids(prompts)]

    def _answer_id(self, tokenizer: Any, answer: str) -> int:
        tokens: list[int] = tokenizer(answer, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1:
            raise ModelRefused(f"{self._card.where}: {answer!r} is {len(tokens)} tokens to it; an answer is one")
        return tokens[0]

    def _load(self) -> tuple[Any, Any]:
        kwargs = loading_options(self._files)
        import transformers

        folder, trusted = str(self._files.folder), bool(kwargs.get("trust_remote_code"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, trust_remote_code=trusted, **kwargs["model_kwargs"]
        )
        return model.to(self._runtime.device).eval(), tokenizer


def _fill(prompt: str, instruction: str, question: str, text: str) -> str:
    """Return a prompt with what it asks for in the places of its marks; marks inside a text stay text."""
    parts = {"{instruction}": instruction, "{query}": question, "{document}": text}
    filled, rest = "", prompt
    while rest:
        mark = min((one for one in parts if one in rest), key=rest.index, default="")
        before, _, rest = rest.partition(mark) if mark else (rest, "", "")
        filled += before + parts.get(mark, "")
    return filled


def _log_odds(model: Any, inputs: Sequence[list[int]], padding: int, answers: Sequence[int]) -> list[float]:
    """Return the log-odds of the first answer over the second after each input; padding stands before an input."""
    import torch

    longest = max(map(len, inputs))
    padded = [[padding] * (longest - len(one)) + one for one in inputs]
    mask = [[0] * (longest - len(one)) + [1] * len(one) for one in inputs]
    with torch.inference_mode():
        ids, seen = (torch.tensor(rows, device=model.device) for rows in (padded, mask))
        places = (seen.cumsum(dim=1) - 1).clamp(min=0)
        out = model(input_ids=ids, attention_mask=seen, position_ids=places, logits_to_keep=1, use_cache=False)
        logits = out.logits[:, -1, list(answers)].float()
    difference: list[float] = (logits[:, 0] - logits[:, 1]).tolist()
    return difference
