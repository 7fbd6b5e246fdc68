"""What a gate says to people and to CI systems: a Markdown summary, JUnit XML, annotations."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rag_opt.production.comparing import ComparedQuestion
from rag_opt.production.gate.gate import GateResult
from rag_opt.production.gate.verdict import GateVerdict

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHOWN = 10  # questions that lost most
_TOLD = {GateVerdict.PASSES: "notice", GateVerdict.WORSE: "error", GateVerdict.UNDECIDED: "warning"}
_HEADINGS = {
    GateVerdict.PASSES: "Gate passed",
    GateVerdict.WORSE: "Gate: worse",
    GateVerdict.UNDECIDED: "Gate: cannot be judged",
}


def to_markdown(result: GateResult) -> str:
    """Return the summary for a pull request."""
    compared, judgement = result.compared, result.judgement
    lines = [
        f"## {_HEADINGS[judgement.verdict]}",
        "",
        f"{_escape(result.new)} against {_escape(result.against)}: {judgement.describe()}.",
        "",
        f"Compared by `{compared.objective}`, {_escape(compared.comparison.asked)}.",
        "",
        "| metric | new | against | difference | 95 % interval, points | questions |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in compared.metrics:
        difference = f"{one.difference.mean * 100:+.1f} | {one.difference.in_points}"
        lines.append(f"| {_escape(one.name)} | {one.new:.3f} | {one.against:.3f} | {difference} | {one.questions} |")
    lines += ["", *(f"- {_escape(note)}" for note in compared.notes), ""]
    worst = find_worst(compared.questions)
    if worst:
        lines += ["Questions that lost most:", "", "| question | new | against |", "| --- | ---: | ---: |"]
        lines += [f"| {_escape(one.text[:200])} | {one.new:.3f} | {one.against:.3f} |" for one in worst]
    return "\n".join(lines).rstrip() + "\n"


def find_worst(questions: Sequence[ComparedQuestion]) -> list[ComparedQuestion]:
    """Return the questions that lost most, at most ten; none that did not lose."""
    ordered = sorted(questions, key=lambda one: (one.new - one.against, one.id))
    return [one for one in ordered[:_SHOWN] if one.new < one.against]


def _escape(text: str) -> str:
    """Return a text that stays one cell of a table, and no markup, whatever stands in it."""
    plain = " ".join(_without_controls(text).split())
    for mark in "\\`*_[]<>|#!@&~$:":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def to_line(text: str) -> str:
    """Return a text as one line of a terminal, in which no runner of a CI system finds a command of its own (`::`)."""
    return " ".join(_without_controls(text).split()).replace("::", ": :")


def to_junit(result: GateResult) -> bytes:
    """Return JUnit XML: one case for the verdict, and one that always passes for each metric, with its numbers."""
    suite = ElementTree.Element("testsuite", name="rag_opt gate", tests=str(1 + len(result.compared.metrics)))
    verdict, said = result.judgement.verdict, result.judgement.describe()
    name = _without_controls(f"{result.new} against {result.against}")
    case = ElementTree.SubElement(suite, "testcase", classname="gate", name=name)
    if verdict is GateVerdict.WORSE:
        ElementTree.SubElement(case, "failure", message=said)
    elif verdict is GateVerdict.UNDECIDED:
        ElementTree.SubElement(case, "error", message=said)
    suite.set("failures", str(int(verdict is GateVerdict.WORSE)))
    suite.set("errors", str(int(verdict is GateVerdict.UNDECIDED)))
    ElementTree.SubElement(case, "system-out").text = _without_controls("\n".join([said, *result.compared.notes]))
    for one in result.compared.metrics:
        metric = ElementTree.SubElement(suite, "testcase", classname="gate.metrics", name=_without_controls(one.name))
        numbers = f"new {one.new:.4f}, against {one.against:.4f}, {one.difference.in_points} points"
        ElementTree.SubElement(metric, "system-out").text = numbers
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def _without_controls(text: str) -> str:
    """Return the text without characters that XML 1.0 does not have, halves of surrogates among them."""
    return _NOT_IN_XML.sub("", text)


def to_annotation(result: GateResult) -> str:
    """Return the verdict as a workflow command of GitHub's runners (others print it as a line)."""
    text = result.describe().replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{_TOLD[result.judgement.verdict]} title=rag_opt gate::{text}"


def write_reports(result: GateResult, *, summary: Path | None, junit: Path | None) -> None:
    """Write what was asked for. In a job of GitHub's runners the summary is also added to the page of the job."""
    text = to_markdown(result)
    if summary is not None:
        summary.write_text(text, encoding="utf-8")
    job = os.environ.get("GITHUB_STEP_SUMMARY")
    if job:
        with Path(job).open("a", encoding="utf-8") as file:
            file.write(text)
    if junit is not None:
        junit.write_bytes(to_junit(result))
