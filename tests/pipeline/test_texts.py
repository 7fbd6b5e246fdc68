from __future__ import annotations

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.text.tokenizer_names import find_tokenizer


def test_a_sentence_longer_than_the_model_reads_is_several() -> None:
    text = "A short one. Then " + "word " * 50 + "end. Another short one."
    texts, tokenizer = CorpusText(Corpus((Document("d", text),))), find_tokenizer("wordpiece")
    found = texts.sentences(Span("d", 0, len(text)), tokenizer=tokenizer, most_tokens=20)
    assert [texts.of(found[0]), texts.of(found[-1])] == ["A short one.", "Another short one."]
    assert all(len(tokenizer.starts(texts.of(span))) <= 20 for span in found)
    assert "".join("".join(texts.of(span).split()) for span in found) == "".join(text.split()), "nothing is lost"
    inside = texts.sentences(Span("d", 5, len(text) - 3), tokenizer=tokenizer, most_tokens=20)
    assert inside == found[1:-1], "only what lies whole inside a span can be said"
