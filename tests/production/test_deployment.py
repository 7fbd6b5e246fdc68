from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag_opt.core.errors import BadInput
from rag_opt.production.deployment.files import FILES, GPUS, TEMPLATES, Deployment, choose_gpu, write_deployment

WHEEL = "rag_opt_search-0.1.0-py3-none-any.whl"
FACTS: dict[str, dict[str, Any]] = {
    "minilm": {
        "model_id": "sentence-transformers/all-MiniLM-L6-v2",
        "model_revision": "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "parameters_millions": 22.7,
        "pooling": "mean",
    },
    "model of the hub": {
        "model_id": "intfloat/e5-large-v2",
        "model_revision": "b322e09026e4ea05f42beadf4d661fb4e101d311",
        "parameters_millions": 335.0,
        "downloads": True,
        "python": "3.13",
    },
    "7b": {
        "model_id": "Alibaba-NLP/gte-Qwen2-7B-instruct",
        "model_revision": "e26182b2122f4435e8b3ebecbf363990f409b45b",
        "parameters_millions": 7070.0,
        "dtype": "bfloat16",
        "pooling": "last",
        "key_variables": ("OPENAI_API_KEY",),
    },
    "lexical": {"memory_mb": 300},
    "Ünï. code-2": {"key_variables": ("OPENAI_API_KEY", "JUDGE_KEY"), "rag_opt_version": "0.2.0.dev1+g12"},
}


def deploy(tmp_path: Path, name: str) -> tuple[Deployment, Path]:
    facts = {"rag_opt_version": "0.1.0", "wheel": WHEEL, **FACTS[name]}
    deployment, folder = Deployment(name=name, **facts), tmp_path / f"{name}_deployment"
    assert write_deployment(folder, deployment) == [folder / file for file in FILES.values()]
    (tmp_path / name).mkdir()
    (tmp_path / name / "requirements.txt").write_text("numpy==2.4.0\n", encoding="utf-8")
    return deployment, folder


@pytest.fixture(params=FACTS)
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Deployment, Path]]:
    yield deploy(tmp_path, request.param)


def run(*command: str | Path, folder: Path, environment: dict[str, str] | None = None) -> str:
    """Output of a tool that is installed beside this Python."""
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [program, *command[1:]], cwd=folder, env=environment or {}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def test_the_files_are_whole_and_secure(deployed: tuple[Deployment, Path]) -> None:
    deployment, folder = deployed
    compose = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    manifests = list(yaml.safe_load_all((folder / "kubernetes.yaml").read_text(encoding="utf-8")))
    app = (folder / "modal_app.py").read_text(encoding="utf-8")
    compile(app, "modal_app.py", "exec")
    assert app.count("requires_proxy_auth=True") == app.count("class Embedder:") == (deployment.model_id is not None)
    services = compose["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["service"]
    assert services["service"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]
    assert compose["networks"]["inside"] == {"internal": True}
    assert all(
        service["networks"] == ["inside"]
        for name, service in services.items()
        if name in ("embedder", "chroma", "collection")
    )
    assert services["service"]["depends_on"]["collection"]["condition"] == "service_completed_successfully"
    assert ("embedder" in services) == ("weights" in services) == (deployment.model_id is not None)
    if "weights" in services:
        compile(services["weights"]["command"][0], "weights", "exec")
    assert [manifest["kind"] for manifest in manifests] == [
        "Deployment",
        "Service",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    ]
    pod = manifests[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert not pod["automountServiceAccountToken"] and pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["terminationGracePeriodSeconds"] == 40
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    requested, most = (container["resources"][kind]["memory"] for kind in ("requests", "limits"))
    assert deployment.memory_mb < int(requested.removesuffix("Mi")) < int(most.removesuffix("Mi"))


def test_no_file_holds_a_key_or_names_a_registry_of_packages(deployed: tuple[Deployment, Path]) -> None:
    deployment, folder = deployed
    for path in [*folder.iterdir(), *TEMPLATES.iterdir()]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pypi|pythonhosted|download\.pytorch|://(?!127\.0\.0\.1|embedder|chroma:)", text), (
            path.name
        )
        assert "{{" not in text or path.parent == TEMPLATES
    compose = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    environment = compose["services"]["service"]["environment"]
    for variable in ("RAG_OPT_API_KEYS", *deployment.key_variables):
        assert environment[variable] is None, "it is the environment's"
    manifests = list(yaml.safe_load_all((folder / "kubernetes.yaml").read_text(encoding="utf-8")))
    (container,) = manifests[0]["spec"]["template"]["spec"]["containers"]
    sources = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
    for variable in ("RAG_OPT_API_KEYS", *deployment.key_variables):
        assert sources[variable]["secretKeyRef"]["optional"] is True


def test_a_large_model_is_served_and_a_small_one_may_be(tmp_path: Path) -> None:
    _, large = deploy(tmp_path, "7b")
    _, small = deploy(tmp_path, "minilm")
    large_services = yaml.safe_load((large / "compose.yaml").read_text(encoding="utf-8"))["services"]
    small_services = yaml.safe_load((small / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert large_services["service"]["environment"]["RAG_OPT_EMBEDDER_URL"].endswith("http://embedder:80}")
    assert "profiles" not in large_services["embedder"] and "deploy" in large_services["embedder"]
    assert small_services["service"]["environment"]["RAG_OPT_EMBEDDER_URL"] is None
    assert small_services["embedder"]["profiles"] == small_services["weights"]["profiles"] == ["tei"]
    command = large_services["embedder"]["command"]
    assert f"--revision={FACTS['7b']['model_revision']}" in command
    assert command[-4:] == ["--dtype", "float16", "--pooling", "last-token"]
    assert small_services["embedder"]["command"][-4:] == ["--dtype", "float32", "--pooling", "mean"]


def test_every_gpu_holds_the_models_that_it_is_chosen_for() -> None:
    sizes = [None, 22.7, 335.0, 1780.0, 7070.0, 12_000.0, 27_000.0]
    assert [choose_gpu(size).name for size in sizes] == ["T4", "T4", "L4", "A10", "L40S", "A100-80GB", "H200"]
    for gpu in GPUS:
        assert gpu.below_millions * 4 / 1000 <= gpu.memory_gb * 5 / 6, f"{gpu.name} has no room for a batch"
    with pytest.raises(BadInput, match="no GPU holds a model of 70000"):
        choose_gpu(70_000.0)


@pytest.mark.parametrize(
    "facts",
    [{"name": "a/b"}, {"name": "$HOME"}, {"wheel": "a b.whl"}, {"model_id": "../x"}, {"key_variables": ("A-B",)}],
)
def test_facts_that_would_break_a_file_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        Deployment(**{"name": "bundle", "rag_opt_version": "0.1.0", "wheel": WHEEL, **facts})


def test_a_model_of_the_hub_needs_its_revision() -> None:
    with pytest.raises(BadInput, match="org/model needs the revision"):
        Deployment(name="bundle", rag_opt_version="0.1.0", wheel=WHEEL, model_id="org/model")


@pytest.mark.integration  # tools that are binaries, and Modal's package
def test_tools_find_nothing_wrong(deployed: tuple[Deployment, Path]) -> None:
    deployment, folder = deployed
    run("hadolint", "Dockerfile", folder=folder)
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml", folder=folder)
    run("kubernetes-validate", "--strict", "kubernetes.yaml", folder=folder)
    run("docker-compose", "-f", "compose.yaml", "config", "-q", folder=folder)
    shown = run(
        *("docker-compose", "-f", "compose.yaml", "--profile", "*", "config", "--format", "json"),
        folder=folder,
        environment={"RAG_OPT_API_KEYS": "a$b,c", "PIP_EXTRA_INDEX_URL": "file:///wheels"},
    )
    service = json.loads(shown)["services"]["service"]
    assert service["environment"]["RAG_OPT_API_KEYS"].replace("$$", "$") == "a$b,c"
    assert service["environment"].get("RAG_OPT_EMBEDDER_URL") == ("http://embedder:80" if deployment.served else None)
    assert service["build"]["args"]["PIP_EXTRA_INDEX_URL"] == "file:///wheels"
    assert Path(service["build"]["context"]) == folder.parent.resolve()


_LOOK_AT_APP = """
import json, sys, warnings
warnings.simplefilter("error")
import modal, modal_app
classes = [getattr(modal_app, name, None) for name in ("Embedder", "Service")]
print(json.dumps({
    "methods": [type(one().serve).__name__ for one in classes if isinstance(one, modal.Cls)],
    "gpu": getattr(modal_app, "GPU", None),
    "asks": getattr(modal_app, "ASKS_EMBEDDER", None),
    "secrets": modal_app.KEYS,
}))
"""


@pytest.mark.integration
def test_the_modal_app_can_be_imported_without_a_token(deployed: tuple[Deployment, Path]) -> None:
    deployment, folder = deployed
    app = json.loads(
        run(Path(sys.executable).name, "-c", _LOOK_AT_APP, folder=folder, environment={"HOME": str(folder)})
    )
    embeds = deployment.model_id is not None
    assert app["methods"] == ["Function"] * (2 if embeds else 1)
    assert app["gpu"] == (deployment.gpu.name if embeds else None)
    assert app["asks"] == (deployment.served if embeds else None)
    assert app["secrets"] == ["RAG_OPT_API_KEYS", *deployment.key_variables]


_FORWARD = """
import http.server, json, os, subprocess, sys, threading, time, urllib.error, urllib.request
import modal_app

class Embedder(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        allowed = (self.headers["Modal-Key"], self.headers["Modal-Secret"]) == ("wk-1", "ws-2")
        content = json.dumps([self.path, body] if allowed else "no").encode()
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(content)
    def log_message(self, *args): pass

def ask(port):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/embed", b'{"inputs": ["a"]}', method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return [reply.status, json.load(reply)]
    except urllib.error.HTTPError as error:
        return [error.code, None]

embedder = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Embedder)
threading.Thread(target=embedder.serve_forever, daemon=True).start()
os.environ.update(EMBEDDER_KEY="wk-1", EMBEDDER_SECRET="ws-2")
forwarder = modal_app.start_forwarder(f"http://127.0.0.1:{embedder.server_port}", 0)
replies = [ask(forwarder.server_port)]
os.environ["EMBEDDER_SECRET"] = "wrong"
replies.append(ask(forwarder.server_port))
embedder.shutdown(); embedder.server_close()
replies.append(ask(forwarder.server_port))

command = [sys.executable, "-m", "http.server", "-b", "127.0.0.1", sys.argv[1]]
server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
modal_app.wait_for(f"http://127.0.0.1:{sys.argv[1]}/", server, 20)
modal_app.stop(server, 5)
try:
    modal_app.wait_for(f"http://127.0.0.1:{sys.argv[1]}/", server, 20)
except RuntimeError as error:
    replies.append("ended with status" in str(error))
print(json.dumps(replies))
"""


@pytest.mark.integration
def test_the_modal_app_starts_servers_and_forwards_with_its_token(tmp_path: Path) -> None:
    import socket

    _, folder = deploy(tmp_path, "7b")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    said = run(Path(sys.executable).name, "-c", _FORWARD, port, folder=folder, environment={"HOME": str(folder)})
    assert json.loads(said) == [[200, ["/embed", {"inputs": ["a"]}]], [401, None], [503, None], True]
