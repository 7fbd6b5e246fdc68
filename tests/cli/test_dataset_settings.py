"""Every setting of a form of test sets can be given on the command line: its file in conf/ has them all."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rag_opt.core.registry import load_parts, lookup
from rag_opt.core.strict import field_names
from rag_opt.setup.builtins import load_built_in

FILES = sorted((Path(__file__).parents[2] / "conf" / "dataset").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_a_data_set_has_every_setting_of_its_format(path: Path) -> None:
    load_built_in()
    load_parts()
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = {*field_names(lookup("dataset", content["format"]))} - {*content}
    assert missing <= {"name"}, missing
