"""Model folders of strangers with files that would leave a mark if they ran: none does, and each is named."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_opt.core.errors import BadInput, ModelRefused, RagOptError
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard, infer
from rag_opt.models.encoder import Encoder
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_cards import infer as infer_reranker
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import Machine
from rag_opt.models.token_models import ColBert
from rag_opt.parts.embedders.static import Static
from rag_opt.parts.rerankers.cross_encoder import CrossEncoder, CrossEncoderScorer
from rag_opt.store.values import MemoryValues
from tests.model_resources import resources_of
from tests.tiny_models import READS_TOKENS, build, build_causal, build_cross_encoder, reference

PLAIN = Machine(device="cpu", runtime="torch", document_precision="float32")


class Planted:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self._mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it ran"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build(tmp_path / "model", "bert", "mean")


def change(path: Path, **settings: object) -> None:
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **settings}))


def embed(folder: Path) -> np.ndarray:
    card = EmbedderCard(id="tiny", path=str(folder), dimensions=32, reads_tokens=READS_TOKENS)
    return Encoder(card, values=MemoryValues(), machine=PLAIN).vectors(["bees dance"], "query")


def as_colbert(folder: Path) -> None:
    card = RerankerCard(id="tiny", path=str(folder), reads_tokens=READS_TOKENS, architecture="colbert")
    ColBert(card, resources()).tokens(["Bees dance."], "document")


def as_cross_encoder(folder: Path) -> None:
    CrossEncoder(name=str(folder)).scorer(resources()).scores([("who dances?", "Bees dance.")])


def as_language_model(folder: Path) -> None:
    given = resources()
    prompted = {"architecture": "language_model", "prompt": "{query} {document}"}
    card = RerankerCard(id="tiny", path=str(folder), reads_tokens=READS_TOKENS, **prompted)  # type: ignore[arg-type]
    CrossEncoderScorer(card, given).scores([("who dances?", "Bees dance.")])


def resources() -> RerankerResources:
    shelf = CardLibrary(RerankerCard, "reranker.name", (), infer=infer_reranker)
    return resources_of(shelf)


def distil(folder: Path) -> None:
    Static(dimensions=4).distil(folder, folder.parent / "distilled")


def plant_pickle(path: Path, mark: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(Planted(mark)))


def test_what_is_planted_would_leave_its_mark(tmp_path: Path, mark: Path) -> None:
    plant_pickle(tmp_path / "weights.bin", mark)
    pickle.loads((tmp_path / "weights.bin").read_bytes())
    assert mark.exists()


def test_a_pickle_beside_safetensors_is_never_opened(folder: Path, mark: Path) -> None:
    expected = reference(folder, ["bees dance"], "mean")
    for name in ("pytorch_model.bin", "training_args.bin", "model.pkl"):
        plant_pickle(folder / name, mark)
    np.testing.assert_allclose(embed(folder), expected, atol=2e-5)
    assert not mark.exists()


def plant_instead(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    plant_pickle(folder / "pytorch_model.bin", mark)


def plant_instead_with_a_decoy(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    plant_pickle(folder / "pytorch_model.bin", mark)


def plant_in_a_module(folder: Path, mark: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, dense]))
    plant_pickle(folder / "2_Dense" / "pytorch_model.bin", mark)
    change(folder / "2_Dense" / "config.json", in_features=32, out_features=32, bias=True)


def plant_code(folder: Path, mark: Path) -> None:
    (folder / "planted.py").write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\nclass Evil: pass\n")


def plant_auto_map(folder: Path, mark: Path) -> None:
    plant_code(folder, mark)
    change(folder / "config.json", auto_map={"AutoModel": "planted.Evil"})


def plant_a_tokenizer(folder: Path, mark: Path) -> None:
    plant_code(folder, mark)
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["planted.Evil", None]})


def plant_a_module_class(folder: Path, mark: Path) -> None:
    plant_code(folder, mark)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([{**modules[0], "type": "planted.Evil"}, *modules[1:]]))


def plant_an_activation(folder: Path, mark: Path) -> None:
    plant_code(folder, mark)
    change(folder / "config.json", sentence_transformers={"activation_fn": "planted.Evil"})


def plant_a_way_out(folder: Path, mark: Path) -> None:
    plant_code(folder.parent, mark)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([modules[0], {**modules[1], "path": "../elsewhere"}]))


def plant_an_adapter(folder: Path, mark: Path) -> None:
    change(folder / "adapter_config.json", base_model_name_or_path=str(folder.parent / "elsewhere"), peft_type="LORA")
    plant_pickle(folder / "adapter_model.bin", mark)


def cut_settings(folder: Path, mark: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "be')


PLANTS: list[tuple[Callable[[Path, Path], None], str]] = [
    (plant_instead, "safetensors"),
    (plant_instead_with_a_decoy, "pytorch_model.bin is not safetensors"),
    (plant_in_a_module, "2_Dense/pytorch_model.bin is not safetensors"),
    (plant_auto_map, "config.json names custom code"),
    (plant_a_tokenizer, "tokenizer_config.json names custom code"),
    (plant_a_module_class, "modules.json names custom code"),
    (plant_an_activation, "config.json names custom code"),
    (plant_a_way_out, "modules.json names '../elsewhere'"),
    (plant_an_adapter, "it is an adapter of another model"),
    (cut_settings, "config.json:? is no JSON"),
]

OF_WEIGHTS_AND_CODE = (plant_instead, plant_auto_map, plant_a_tokenizer)
OF_MODULES = (plant_in_a_module, plant_a_module_class, plant_a_way_out)


@pytest.mark.parametrize(("plant", "said"), PLANTS, ids=[plant.__name__ for plant, _ in PLANTS])
@pytest.mark.parametrize("use", [embed, as_colbert, as_cross_encoder, as_language_model, distil])
def test_what_was_planted_does_not_run(
    plant: Callable[[Path, Path], None],
    said: str,
    use: Callable[[Path], object],
    tmp_path: Path,
    folder: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if use is as_language_model and plant not in OF_WEIGHTS_AND_CODE:
        pytest.skip("the same files are looked at as for a cross-encoder")
    if use in (as_cross_encoder, as_language_model):
        if plant in OF_MODULES:
            pytest.skip("what scores pairs here has no modules")
        folder = (build_causal if use is as_language_model else build_cross_encoder)(tmp_path / "pairs")
    plant(folder, mark)
    monkeypatch.chdir(folder)  # as where a person unpacked it: what lies here can be imported
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises((ModelRefused, BadInput), match=said):
        use(folder)
    assert not mark.exists()


@pytest.mark.parametrize("plant", [plant for plant, _ in PLANTS], ids=[plant.__name__ for plant, _ in PLANTS])
def test_a_card_is_inferred_without_running_anything(
    plant: Callable[[Path, Path], None], folder: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(folder, mark)
    monkeypatch.chdir(folder)
    try:
        infer(str(folder))
    except RagOptError as error:
        assert "modules.json" in str(error) or "config.json" in str(error)
    assert not mark.exists()
