"""The reader docling, as far as it goes without its models: what needs none, and what is said where they are missing.

docling brings a hundred packages, so it is installed into an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PAGE = (
    "<h1>Rates</h1><p>Hello.</p><ul><li>one<ul><li>two</li></ul></li></ul>"
    "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table><pre>x = 1</pre>"
)
_READ = """
import sys
from pathlib import Path
from docling.document_converter import DocumentConverter
from rag_opt.core.errors import Unreadable
from rag_opt.parts.readers.layout_models import Docling, write_document
print(write_document(DocumentConverter().convert(sys.argv[1]).document).text)
try:
    Docling().read(Path(sys.argv[2]), encoding=None)
except Unreadable as error:
    print(error)
"""


@pytest.mark.integration
def test_the_reader_docling_without_its_models(tmp_path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    page = Canvas(str(tmp_path / "a.pdf"))
    page.drawString(60, 700, "The harbour lies open to the north.")
    page.save()
    (tmp_path / "a.html").write_text(_PAGE)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    wanted = ["torch==2.13.0", "docling>=2.140,<3", "annotated-doc", "orjson"]
    install = [python, "-m", "pip", "install", "-q", *wanted]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"docling cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    arguments = [python, "-c", _READ, str(tmp_path / "a.html"), str(tmp_path / "a.pdf")]
    said = subprocess.run(
        arguments, env={"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=True
    ).stdout
    table = "| A | B |\n| --- | --- |\n| 1 | 2 |"
    assert said.startswith(f"# Rates\n\nHello.\n\n- one\n  - two\n\n{table}\n\n```\nx = 1\n```\n")
    assert "is nothing that docling reads" in said
