"""A service on loopback over the tiny corpus: the real one, its server in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

import rag_opt
from rag_opt.core.questions import Dataset
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle import Bundle
from rag_opt.production.service.running import build_server
from rag_opt.production.service.settings import ServiceSettings
from tests.production.bundles import write_asked

Serve = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture(scope="session")
def bundle_folder(
    builder: PipelineBuilder,
    dataset: Dataset,
    default_pipeline: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A bundle of the default pipeline; its documents have the metadata `name`."""
    folder = tmp_path_factory.mktemp("served") / "bundle"
    write_asked(folder, builder, PipelineSpec.from_dict(default_pipeline), dataset.questions)
    return folder


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return rag_opt.load(bundle_folder)


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """Run a server in a thread until the block ends; give its address."""
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@contextmanager
def serve(bundle: Bundle, *, ready: bool = True, **settings: object) -> Iterator[httpx.Client]:
    """Serve a bundle, and give a client of it once it is ready."""
    server = build_server(bundle, ServiceSettings(**settings), host="127.0.0.1", port=0)  # type: ignore[arg-type]
    with running(server) as url, httpx.Client(base_url=url, timeout=30) as client:
        while ready and client.get("/readyz").status_code != 200:
            time.sleep(0.02)
        yield client
