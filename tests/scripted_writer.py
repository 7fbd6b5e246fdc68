"""A language model that writes and checks questions by rule, and answers from passages by words in common."""

from __future__ import annotations

import json
import re

from tests.scripted_judge import judged, split, supported

_PASSAGE = re.compile(r'<passage number="(\d+)">\n(.*?)\n</passage>', re.DOTALL)


def written(message: str) -> str:  # noqa: PLR0911  # a case for each message
    """What the model says to a message of this project: questions, checks, evidence, verdicts, answers."""
    passages = [text for _, text in _PASSAGE.findall(message)]
    asked = message.partition("Question: ")[2].partition("\n")[0]
    if "JSON Schema" in message:
        return judged(message)
    if "Write one question that somebody" in message:
        quotes = [max(split(text), key=len) for text in passages]
        about = " and ".join(quote.split()[1] + " " + quote.split()[-1].strip(".") for quote in quotes)
        return json.dumps({"question": f"What of {about}?", "answer": " ".join(quotes), "quotes": quotes})
    if "Write one question about the same matter" in message:
        return json.dumps({"question": f"Who paid for {passages[0].split()[-1].strip('.')}?"})
    if "Do the passages answer" in message:
        can = not asked.startswith("Who paid") and all(_near(part, passages) for part in asked[8:-1].split(" and "))
        return json.dumps({"answerable": can, "stands_alone": 1, "answer": " ".join(passages)})
    if "say the same" in message:
        one, other = message.partition("First answer: ")[2].partition("\n\nDo the two")[0].split("\nSecond answer: ")
        return json.dumps({"same": supported(one, other)})
    if "from what you know" in message:
        return json.dumps({"answer": ""})
    if "answer to this question rest" in message:
        best = [one for text in passages for one in split(text) if supported(asked, one)]
        return json.dumps({"quotes": best[:1]})
    if not passages:
        return "I do not know."
    best = max((one for text in passages for one in split(text)), key=lambda one: _common(asked, one))
    return best if _common(asked, best) > 1 else "The documents do not say."


def _near(part: str, passages: list[str]) -> bool:
    words = part.split()
    return any(all(word in text for word in words) for text in passages)


def _common(one: str, other: str) -> int:
    return len(set(re.findall(r"\w{3,}", one.lower())) & set(re.findall(r"\w{3,}", other.lower())))
