"""Files that deploy a bundle, written beside it: Dockerfile, Compose, Kubernetes manifests, an app for Modal."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge
from pydantic import StringConstraints
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.strict import STRICT

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
FILES = {  # template -> the file that is written
    "Dockerfile.j2": "Dockerfile",
    "dockerignore.j2": "Dockerfile.dockerignore",
    "compose.yaml.j2": "compose.yaml",
    "kubernetes.yaml.j2": "kubernetes.yaml",
    "modal_app.py.j2": "modal_app.py",
    "README.md.j2": "README.md",
}
TEI_VERSION = "1.9"
_NAME = r"^\w[\w .-]*$"  # what needs no escape in a Dockerfile, a .dockerignore and an address
_SLUG_LETTERS = 40  # a name in Kubernetes has 63, of which kinds of objects take some
_LARGE_MILLIONS = 1500  # a larger model takes seconds for a query on a CPU


class Gpu(NamedTuple):
    """GPU that Modal lends, with the image of text-embeddings-inference that is built for it."""

    name: str
    memory_gb: int
    below_millions: float  # it takes models with fewer parameters, in float32 with a sixth of the memory left
    tei_tag: str


GPUS = (  # from the cheapest up; the images go by the GPU's architecture
    Gpu("T4", 16, 200, f"turing-{TEI_VERSION}"),
    Gpu("L4", 24, 1500, f"89-{TEI_VERSION}"),
    Gpu("A10", 24, 4000, f"86-{TEI_VERSION}"),
    Gpu("L40S", 48, 10_000, f"89-{TEI_VERSION}"),
    Gpu("A100-80GB", 80, 16_000, TEI_VERSION),
    Gpu("H200", 141, 29_000, f"hopper-{TEI_VERSION}"),
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Deployment:
    """Facts about a bundle that its deployment depends on."""

    name: Annotated[str, StringConstraints(pattern=_NAME), Doc("Name of the bundle's folder.")]
    wheel: Annotated[
        str,
        StringConstraints(pattern=r"^[\w.+-]+\.whl$"),
        Doc("Name of rag_opt's wheel, as pip wants it: with version and tags."),
    ]
    rag_opt_version: Annotated[
        str, StringConstraints(pattern=r"^[\w.+!-]+$"), Doc("Version of rag_opt, which the image is tagged with.")
    ]
    python: Annotated[
        str, StringConstraints(pattern=r"^3\.\d+$"), Doc("Version of Python that requirements.txt was made with.")
    ] = "3.11"
    model_id: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)?$")] | None,
        Doc("Embedding model's id on the hub; null: the bundle has none, or one that is not there."),
    ] = None
    model_revision: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[\w./-]+$")] | None, Doc("Embedding model's revision on the hub.")
    ] = None
    parameters_millions: Annotated[
        Annotated[float, Ge(0)] | None, Doc("Number of its parameters in millions; null: not known.")
    ] = None
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], Doc("Type of its weights in memory.")] = "float32"
    pooling: Annotated[
        Literal["mean", "cls", "last"] | None,
        Doc("How the vectors of tokens become one; null: as the model's files say."),
    ] = None
    downloads: Annotated[
        bool, Doc("Whether the service must fetch files of its models from the hub when it first starts.")
    ] = False
    chroma_version: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$"), Doc("Version of the Chroma server.")] = (
        "1.5.9"
    )
    key_variables: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")], ...],
        Doc("Environment variables that hold the keys of language models."),
    ] = ()
    memory_mb: Annotated[int, Ge(1), Doc("Most memory of the service as measured, in megabytes.")] = 2000
    scratch_mb: Annotated[int, Ge(1), Doc("Most megabytes that copies of the index take in /tmp.")] = 512
    cpus: Annotated[int, Ge(1), Doc("Processors of one copy of the service.")] = 2

    def __post_init__(self) -> None:
        """Refuse a model of the hub without a revision: it may change under a bundle that was measured with it."""
        if self.model_id is not None and not self.model_revision:
            raise BadInput([Problem("deployment.model_revision", f"{self.model_id} needs the revision that it has")])

    @property
    def slug(self) -> str:
        """Name for images and for objects in Kubernetes and on Modal: small letters, digits and hyphens."""
        name = re.sub(r"[^a-z0-9]+", "-", self.name.lower())[:_SLUG_LETTERS].strip("-")
        return f"rag-opt-{name}" if name else "rag-opt"

    @property
    def image(self) -> str:
        """Name and tag of the image."""
        return f"{self.slug}:{re.sub(r'[^A-Za-z0-9_.-]', '-', self.rag_opt_version)}"

    @property
    def served(self) -> bool:
        """Whether a server runs the embedding model unless one says otherwise: it is too large for a CPU."""
        return self.model_id is not None and (self.parameters_millions or 0) >= _LARGE_MILLIONS

    @property
    def gpu(self) -> Gpu:
        """GPU that the embedding model needs on Modal."""
        return choose_gpu(self.parameters_millions)

    @property
    def tei_tag(self) -> str:
        """Tag of text-embeddings-inference's image for Compose: of a CPU, where that is fast enough."""
        return self.gpu.tei_tag if self.served else f"cpu-{TEI_VERSION}"

    @property
    def tei_options(self) -> list[str]:
        """Arguments of text-embeddings-router beside model, revision and port. It knows no bfloat16."""
        options = ["--dtype", "float32" if self.dtype == "float32" else "float16"]
        if self.pooling is not None:
            options += ["--pooling", "last-token" if self.pooling == "last" else self.pooling]
        return options

    @property
    def requested_mb(self) -> int:
        """Memory that a copy of the service is sure to get: as measured and a quarter more."""
        return _round_up(self.memory_mb * 1.25)

    @property
    def most_mb(self) -> int:
        """Memory at which a copy of the service is stopped: twice as measured."""
        return _round_up(self.memory_mb * 2)


def _round_up(megabytes: float, step: int = 64) -> int:
    return math.ceil(megabytes / step) * step


def choose_gpu(parameters_millions: float | None) -> Gpu:
    """Return the cheapest GPU on Modal that holds a model; None: its size is not known, and taken for small.

    Raises BadInput for a model that no single GPU holds.
    """
    for gpu in GPUS:
        if (parameters_millions or 0) < gpu.below_millions:
            return gpu
    problem = f"no GPU holds a model of {parameters_millions} million parameters; {GPUS[-1].name} is the largest known"
    raise BadInput([Problem("deployment.parameters_millions", problem)])


def write_deployment(folder: Path, deployment: Deployment) -> list[Path]:
    """Write the files into a folder, made where it is missing; return their paths. Older ones are replaced."""
    environment = _environment()
    texts = {
        name: environment.get_template(template).render(d=deployment, tei=TEI_VERSION)
        for template, name in FILES.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the files are no HTML
    )
    # what JSON quotes, Dockerfile, YAML and Python read as the same string
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment
