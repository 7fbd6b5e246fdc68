from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.secrets import MaskedStream, is_secret, mask

SECRET = "planted4711"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{SECRET}@host/db",
        f"https://{SECRET}@host/v1",
        f"postgresql://host/db?user=me&password={SECRET}",
        f"https://host/v1?api_key={SECRET}#x",
        f"https://host/v1?a=b&access-token={SECRET}",
        f"https://host/blob?sig={SECRET}&se=2030",
        f"s3://bucket/x?aws_secret_access_key={SECRET}",
        f"cannot connect to 'mysql+pymysql://root:{SECRET}@host:3306/x' (refused)",
        f"Authorization: Bearer {SECRET}",
        f"headers={{'Authorization': 'Basic {SECRET}=='}}",
        f"sk-{SECRET}",
        f"your key ghp_{SECRET} is wrong",
        f"hf_{SECRET}",
        f"token xoxb-{SECRET}",
        f"AKIA{SECRET}",
        f"eyJhbGciOiJI.{SECRET}.x",
    ],
)
def test_a_secret_is_known_by_its_place_or_its_form(text: str) -> None:
    assert SECRET not in mask(text) and is_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8000/v1",
        "sqlite:////somewhere/outputs/mlflow.db",
        "space.generator.chat.max_tokens=512",
        "the password is asked for by the server",
        "a@b.c wrote http://host/?page=2",
        "task-force of risk-averse people",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text and not is_secret(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_PASSWORD", SECRET),
        ("MY_API_KEY", SECRET),
        ("HF_TOKEN", SECRET),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("MLFLOW_TRACKING_URI", f"https://me:{SECRET}@host"),
        ("HTTPS_PROXY", f"http://me:{SECRET}@proxy:3128"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@host/x"),
    ],
)
def test_values_of_the_environment_are_known_wherever_they_stand(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert mask(f"refused ({SECRET})") == f"refused (${name})"


@pytest.mark.parametrize(
    ("name", "value"), [("PWD", "/somewhere/project"), ("OLDPWD", "/somewhere/project"), ("MY_KEY", "ollama")]
)
def test_a_folder_and_a_placeholder_are_no_secrets(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert mask(f"{value}/outputs") == f"{value}/outputs"


def test_what_is_printed_goes_through_it() -> None:
    out = io.StringIO()
    stream: Any = MaskedStream(out)
    print("see", f"https://u:{SECRET}@host", file=stream)
    stream.writelines([f"Bearer {SECRET}\n"])
    assert SECRET not in out.getvalue() and out.getvalue().startswith("see https://…@host\n")
    assert stream.isatty() is False


@given(st.text(max_size=80))
def test_masking_twice_is_masking_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)
