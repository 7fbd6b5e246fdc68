"""MLflow's model registry: bundles as versions of a model. `challenger` is on trial, `champion` serves, `previous` did.

A version holds the whole bundle, documents and questions included: who may read the registry may read them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.core.errors import BadBundle, BadInput, Problem, RagOptError, list_names
from rag_opt.core.secrets import mask
from rag_opt.evaluation.non_inferiority import MARGIN, NonInferiority
from rag_opt.production.bundle_layout import MODEL_CARD, REQUIREMENTS
from rag_opt.production.comparing import compare_bundles
from rag_opt.production.manifest import Manifest, read_manifest
from rag_opt.production.stored_questions import OBJECTIVE
from rag_opt.store.artifacts import MANIFEST
from rag_opt.tracking.database import ensure_database
from rag_opt.tracking.names import legal_metrics
from rag_opt.tracking.places import is_local

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
EXPERIMENT = "rag_opt registry"
_MODEL = "model"  # folder of the model among a run's artifacts
_MOST_CHARACTERS = 5000  # of a description and of a tag, in MLflow's tables
_SERVED_BY = ("mlflow-skinny", "pandas")  # `mlflow models serve` needs nothing more of MLflow
_CUT = "\n\n(cut; the whole card is README.md of the bundle)"


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A version that became the champion, the one before it, and why; `comparison`: None where none was possible."""

    name: str
    version: str
    before: str | None = None
    comparison: NonInferiority | None = None
    why: str = ""

    def describe(self) -> str:
        """Return in words what was moved, and why."""
        before = f"version {self.before} is the {PREVIOUS} one" if self.before is not None else "there was none before"
        why = f"; {self.why}" if self.why else ""
        return f"version {self.version} of {self.name} is the {CHAMPION} now, {before}{why}"


def register_bundle(
    bundle: Path,
    *,
    name: str,
    uri: str,
    wheel: Path | None = None,
    plugins: Sequence[str] = (),
    allow_code: Sequence[str] = (),
) -> str:
    """Register a bundle as the next version of a model, give it the alias `challenger`, and return its number.

    `wheel`: of rag_opt, put into the model and its requirements; without one whoever serves it installs rag_opt.
    `plugins`, `allow_code`: what the served model may import and run, as of `rag_opt.load`. Raises BadBundle for a
    folder that is no whole bundle or has no requirements.txt, RagOptError where MLflow refuses.
    """
    manifest = read_manifest(bundle, check=True)
    lines = list_requirements(bundle, wheel)
    client = _connect(uri)
    with _saying(uri), tempfile.TemporaryDirectory() as scratch:
        _ensure_model(client, name)  # first: a name that MLflow refuses leaves no copy of the bundle there
        run = client.create_run(_find_experiment(client, uri), tags=_tags(manifest), run_name=name)
        run_id = str(run.info.run_id)
        try:
            for metric, value in legal_metrics(_means(manifest)).items():
                client.log_metric(run_id, metric, value)
            allowed = {"plugins": list(plugins), "allow_code": list(allow_code)}
            code = [str(wheel.resolve())] if wheel is not None else None
            options = {"model_config": allowed, "pip_requirements": lines, "code_paths": code}
            _save_model(Path(scratch) / _MODEL, bundle, manifest, run_id, options)
            client.log_artifacts(run_id, str(Path(scratch) / _MODEL), _MODEL)
            version = _create_version(client, name, run, bundle, manifest)
        except BaseException:
            client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id)
    return version


def promote(name: str, *, uri: str, margin: float = MARGIN, force: bool = False) -> Promotion:
    """Make the challenger the champion where it is not worse on the same questions; the champion becomes `previous`.

    Without a champion it becomes one. `margin`: in units of the objective (`non_inferiority.compare_scores`). `force`
    promotes one that is worse, undecided or cannot be compared, and keeps the reason with the version. Raises BadInput
    where there is no challenger or it may not be promoted, BadBundle where the two cannot be compared.
    """
    client = _connect(uri)
    with _saying(uri):
        aliases = _find_aliases(client, name)
        version, before = aliases.get(CHALLENGER), aliases.get(CHAMPION)
        if version is None or version == before:
            raise BadInput([Problem(name, f"has no version with the alias {CHALLENGER!r}: register a bundle first")])
        if before is None:
            promotion = Promotion(name=name, version=version)
        else:
            promotion = _decide(client, name, version, before, uri=uri, margin=margin, force=force)
            client.set_registered_model_alias(name, PREVIOUS, before)
        client.set_model_version_tag(name, version, "rag_opt.promoted", promotion.describe()[:_MOST_CHARACTERS])
        client.set_registered_model_alias(name, CHAMPION, version)
        client.delete_registered_model_alias(name, CHALLENGER)
    return promotion


def rollback(name: str, *, uri: str) -> Promotion:
    """Make `previous` the champion again (done twice, it is undone). Raises BadInput where there is none."""
    client = _connect(uri)
    with _saying(uri):
        aliases = _find_aliases(client, name)
        champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if previous is None or previous == champion:
            raise BadInput([Problem(name, f"has no {PREVIOUS} version to go back to")])
        client.set_registered_model_alias(name, CHAMPION, previous)  # first: what serves is right whatever comes next
        if champion is not None:
            client.set_registered_model_alias(name, PREVIOUS, champion)
    return Promotion(name=name, version=previous, before=champion)


def list_requirements(bundle: Path, wheel: Path | None = None) -> list[str]:
    """Return what `mlflow models serve` needs to answer from a bundle, as lines for `pip install --no-deps -r`.

    These are the pins of the bundle; of MLflow, `mlflow-skinny` and what it declares, as they are installed here; and
    the wheel. Raises BadBundle where the bundle has no pins, BadInput for a wheel that is not there.
    """
    if wheel is not None and not wheel.is_file():
        raise BadInput([Problem("wheel", f"{wheel} is not there")])
    path = bundle / REQUIREMENTS
    if not path.is_file():
        raise BadBundle(f"{bundle} has no {REQUIREMENTS}, so nobody could serve it: export it again")
    pins = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pinned = {line.partition("==")[0] for line in pins}
    served_by = [f"{name}=={version}" for name, version in _find_requirements(_SERVED_BY).items() if name not in pinned]
    return [*pins, *served_by, *([f"code/{wheel.name}"] if wheel is not None else [])]


def _find_requirements(names: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of distributions and of all that they require, without extras, by name."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        distribution = importlib.metadata.distribution(name)
        found[name] = distribution.version.partition("+")[0]
        required = map(Requirement, distribution.requires or ())
        waiting += [one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]
    return dict(sorted(found.items()))


def _connect(uri: str) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    ensure_database(uri)
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def _saying(uri: str) -> Iterator[None]:
    """Say what MLflow refuses as RagOptError, without the password that an address may hold."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise RagOptError(f"MLflow at {mask(uri)} refused: {mask(str(error))}") from error


def _find_experiment(client: MlflowClient, uri: str) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    location = None
    if is_local(uri):  # beside the database: MLflow itself would take the folder that we happen to stand in
        path = Path(uri.partition(":")[2].removeprefix("///").partition("?")[0])
        location = (path.parent / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _save_model(folder: Path, bundle: Path, manifest: Manifest, run_id: str, options: Mapping[str, object]) -> None:
    """Write the model's folder: nothing of it is pickled, and no embedding model is loaded for it."""
    import mlflow

    from rag_opt.production import mlflow_model

    mlflow.pyfunc.save_model(
        str(folder),
        python_model=mlflow_model.__file__,
        artifacts={mlflow_model.BUNDLE: str(bundle.resolve())},
        signature=mlflow_model.build_signature(),
        input_example=mlflow_model.build_input_example(manifest.requires_filter),
        mlflow_model=mlflow.models.Model(run_id=run_id, artifact_path=_MODEL),
        **options,
    )


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _create_version(client: MlflowClient, name: str, run: Run, bundle: Path, manifest: Manifest) -> str:
    """Create the version, with the model card for people, and mark it as the challenger."""
    scores = {f"rag_opt.{key}": f"{mean:.4f}" for key, mean in _means(manifest).items() if key.endswith(OBJECTIVE)}
    card = (bundle / MODEL_CARD).read_text(encoding="utf-8")
    if len(card) > _MOST_CHARACTERS:
        card = card[: _MOST_CHARACTERS - len(_CUT)] + _CUT
    source, tags = f"{run.info.artifact_uri}/{_MODEL}", _tags(manifest) | scores
    created = client.create_model_version(name, source, run.info.run_id, tags=tags, description=card)
    client.set_registered_model_alias(name, CHALLENGER, created.version)
    return str(created.version)


def _tags(manifest: Manifest) -> dict[str, str]:
    digests = {name: manifest.dataset.get(name) for name in ("corpus", "questions")}
    facts = {"study": manifest.study, "trial": manifest.trial, "dataset": manifest.dataset.get("name"), **digests}
    facts["objective"] = manifest.scores.get("objective")
    return {f"rag_opt.{name}": str(value) for name, value in facts.items() if value not in (None, "")}


def _means(manifest: Manifest) -> dict[str, float]:
    measured = manifest.scores.get("metrics") or {}
    return {f"{part}/{name}": score["mean"] for part, scores in measured.items() for name, score in scores.items()}


def _find_aliases(client: MlflowClient, name: str) -> Mapping[str, str]:
    """Return the versions of a model by alias. Raises BadInput for a model that is not there."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        others = [model.name for model in client.search_registered_models()]
        there = f"; there are: {list_names(others)}" if others else ""
        raise BadInput([Problem(name, f"is no registered model{there}")]) from None
    return {alias: str(version) for alias, version in aliases.items()}


def _decide(
    client: MlflowClient, name: str, version: str, before: str, *, uri: str, margin: float, force: bool
) -> Promotion:
    """Compare challenger and champion. Raises BadInput or BadBundle where it is not to be promoted, unless by force."""
    comparison = None
    try:
        with tempfile.TemporaryDirectory() as scratch:
            ours, theirs = (_fetch_bundle(client, name, one, uri, Path(scratch) / one) for one in (version, before))
            comparison = compare_bundles(ours, theirs, margin=margin).comparison
        why, passed = comparison.describe(), comparison.is_not_worse
    except BadBundle as error:
        if not force:
            raise
        why, passed = str(error), False
    if not passed and not force:
        raise BadInput([Problem(name, f"version {version} is not promoted over version {before}: {why}")])
    why = why if passed else f"by force: {why}"
    return Promotion(name=name, version=version, before=before, comparison=comparison, why=why)


def _fetch_bundle(client: MlflowClient, name: str, version: str, uri: str, target: Path) -> Path:
    """Return the bundle of a version: where it lies, if it is on this machine, else copied below `target`."""
    import mlflow

    source = f"{client.get_model_version_download_uri(name, version)}/artifacts"
    target.mkdir()
    here = None if is_local(source) else str(target)
    folder = Path(mlflow.artifacts.download_artifacts(source, dst_path=here, tracking_uri=uri, registry_uri=uri))
    bundles = sorted(folder.glob(f"*/{MANIFEST}"))
    if not bundles:
        raise BadBundle(f"version {version} of {name} holds no bundle of rag_opt")
    return bundles[0].parent
