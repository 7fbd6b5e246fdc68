"""Where runs go, and how much of the texts may go there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rag_opt.core.errors import Problem
from rag_opt.core.secrets import is_secret
from rag_opt.core.strict import PlainMapping


def tracking_uri(settings: PlainMapping, outputs: Path) -> str:
    """Return `tracking.uri`, else MLFLOW_TRACKING_URI, else a database beside the studies."""
    given = settings.get("uri") or os.environ.get("MLFLOW_TRACKING_URI")
    return str(given) if given else f"sqlite:///{(outputs / 'mlflow.db').resolve().as_posix()}"


def find_tracking_problems(settings: PlainMapping) -> list[Problem]:
    """Return what MLflow would refuse as a place for runs: a plain folder (its file store has ended), or no URI."""
    where, uri = "tracking.uri", settings.get("uri")
    if not uri:
        where, uri = "MLFLOW_TRACKING_URI", os.environ.get("MLFLOW_TRACKING_URI")
    if not settings.get("enabled", True) or not uri or uri == "databricks":
        return []
    if settings.get("uri") and is_secret(str(uri)):
        what = (
            "holds a password, which would be written down; the variable MLFLOW_TRACKING_URI is read and never written"
        )
        return [Problem(where, what)]
    if re.match(r"[a-z][a-z0-9+.-]*:", str(uri)) and not str(uri).startswith("file:"):
        return []
    what = "should be a database (sqlite:///runs.db, postgresql://…), a server (https://…) or databricks"
    return [Problem(where, f"is {uri!r}; {what}")]


def is_local(uri: str) -> bool:
    """Return whether runs stay on this machine: in a database file or a path, not at `databricks` or a server."""
    return uri.startswith(("sqlite:", "file:", "/", "./", "../"))


def allowed_content(settings: PlainMapping, uri: str) -> str:
    """Return how much text may be written: `full`, `ids` or `none`; only ids where the server is another machine."""
    wanted = str(settings.get("content", "auto"))
    stays = is_local(uri) and is_local(str(settings.get("artifact_location") or "file:"))
    return ("full" if stays else "ids") if wanted == "auto" else wanted
