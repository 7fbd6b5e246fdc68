"""A static model, distilled from another."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_doc import Doc
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import ImpossiblePipeline, ModelRefused
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.inferred_cards import READS_ANYTHING
from rag_opt.models.remote_code import refuse_unsafe


@register("embedder", "static")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Static:
    """Distil a static model from another by model2vec: one vector per token, averaged.

    Far faster than the model that it is made of, and blind to order and context.
    """

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = "minilm"
    dimensions: Annotated[int, Ge(2), Doc("Of its vectors, by principal components.")] = 256

    libraries: ClassVar[tuple[str, ...]] = ("model2vec",)

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        """Return the card of the static model. Raises ImpossiblePipeline where none can be made of this one."""
        if card.served:
            raise ImpossiblePipeline(f"{self.name} runs behind a server: nothing can be distilled from it")
        if card.custom_code:
            raise ImpossiblePipeline(f"{self.name} needs its own code, which is not run when it is distilled")
        return dataclasses.replace(
            card,
            id=f"{card.id} distilled to {self.dimensions}",
            dimensions=min(self.dimensions, card.dimensions),
            reads_tokens=READS_ANYTHING,
            tokenizer=str(card.tokenizer_file.parent),
            query_prompt="",
            document_prompt="",
            query_prompt_name=None,
            document_prompt_name=None,
            truncate_dimensions=None,
            pooling=None,
            golden={},
        )

    def distil(self, source: Path, folder: Path) -> None:
        """Write the static model of the one in `source` into `folder`, as sentence-transformers loads it."""
        refuse_unsafe(source)
        try:
            from model2vec.distill import distill
        except ImportError:
            extra = "the extra `static` of rag_opt's wheel or checkout has it: pip install '.[static]'"
            raise ModelRefused(f"embedder.static: model2vec is not installed; {extra}") from None
        with contextlib.redirect_stderr(io.StringIO()):  # its own progress bar
            made = distill(str(source), pca_dims=self.dimensions, device="cpu", quantize_to="float32")
        made.tokenizer.no_truncation()  # it keeps that of the transformer, and would read no further
        made.save_pretrained(str(folder))
        config = json.loads((folder / "config.json").read_text())
        config["tokenizer_name"] = ""  # a path of this machine
        (folder / "config.json").write_text(json.dumps(config))
