from __future__ import annotations

from pathlib import Path

import httpx
import openai
import pytest

import rag_opt
from rag_opt.core.questions import Dataset
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.service.chat import LAST_TURN_ONLY, NO_SYSTEM, defang
from tests.pipeline.test_failing_model import BASE, new_builder
from tests.production.service.conftest import serve
from tests.scripted_writer import written
from tests.servers import ChatModel, serving

DOUGH = "What makes dough rise?"
TALK = [
    {"role": "system", "content": "You are a pirate."},
    {"role": "user", "content": DOUGH},
    {"role": "assistant", "content": "Yeast."},
    {"role": "user", "content": "And what slows it down?"},
]


def client_of(client: httpx.Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)


def test_openais_own_client_reads_it_whole_and_streamed(bundle: Bundle) -> None:
    expected = bundle.ask(DOUGH)
    with serve(bundle, name="mine") as client:
        chat = client_of(client)
        assert [model.id for model in chat.models.list()] == ["mine"]
        whole = chat.chat.completions.create(
            model="any", messages=[{"role": "user", "content": [{"type": "text", "text": DOUGH}]}], temperature=0.3
        )
        content = whole.choices[0].message.content or ""
        answer, _, sources = content.partition("\n\n")
        assert answer == expected.answer and sources == "[1] bread.md: Bread"
        assert whole.usage is not None and whole.usage.prompt_tokens == expected.context_tokens
        events = list(
            chat.chat.completions.create(
                model="mine",
                messages=[{"role": "user", "content": DOUGH}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        said = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
        assert said == content and len(events) > 3 and events[-1].usage == whole.usage
        assert events[-2].choices[0].finish_reason == "stop"
        refused = chat.chat.completions.create(
            model="mine", messages=[{"role": "user", "content": "How is steel made from iron ore?"}]
        )
        assert refused.choices[0].message.content == "The documents do not answer this question."
        for wrong in ([{"role": "assistant", "content": "hello"}], [{"role": "user", "content": ""}]):
            with pytest.raises(openai.UnprocessableEntityError, match="no question of a user"):
                chat.chat.completions.create(model="mine", messages=wrong)  # type: ignore[arg-type]
        with pytest.raises(openai.UnprocessableEntityError):
            chat.chat.completions.create(model="mine", messages=[{"role": "user", "content": DOUGH}], n=2)


def test_without_a_language_model_the_last_turn_is_asked_and_that_is_said(bundle: Bundle) -> None:
    with serve(bundle) as client:
        reply = client.post("/v1/chat/completions", json={"messages": TALK}).json()
        assert reply["rag_opt"]["notes"] == [NO_SYSTEM, LAST_TURN_ONLY]


def test_earlier_turns_are_condensed_by_the_model_where_there_is_one(dataset: Dataset, tmp_path: Path) -> None:
    def says(message: str) -> str:
        return "What slows the yeast down?" if "user: And what slows it down?" in message else written(message)

    with serving(ChatModel(says)) as server:
        builder = new_builder(tmp_path / "store", dataset, server.url)
        spec = PipelineSpec.from_dict({**BASE, "generator": {"chat": {}}})
        write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
        builder.close()
        bundle, whole = rag_opt.load(tmp_path / "bundle"), "Salt slows the yeast down."
        *pieces, reply = bundle.stream("What slows the yeast down?")
        asked = bundle.ask("What slows the yeast down?")
        assert "".join(map(str, pieces)).startswith(whole) and isinstance(reply, rag_opt.Reply)
        assert (reply.answer, reply.hits, reply.cited) == (asked.answer, asked.hits, asked.cited)
        assert len(server.seen) == 1, "what was streamed is not asked again"
        with serve(rag_opt.load(tmp_path / "bundle"), name="mine") as client:
            reply = client.post("/v1/chat/completions", json={"messages": TALK}).json()
            assert reply["rag_opt"]["notes"] == [NO_SYSTEM, "asked: What slows the yeast down?"]
            assert reply["choices"][0]["message"]["content"].startswith("Salt slows the yeast down.")
            told = [body["messages"] for _, body in server.seen]
            assert all("pirate" not in str(messages) for messages in told), "a client's system message goes nowhere"
            assert all(m["role"] == "user" for messages in told for m in messages if "slows it down" in m["content"])
            server.plan = lambda number: (400, {"error": {"message": "context length exceeded inside"}}, {})
            failed = client.post("/ask", json={"question": "Why do meanders form?"})
            assert failed.status_code == 502 and "inside" not in failed.text and failed.headers["retry-after"]


def test_nothing_that_a_front_end_fetches_by_itself_is_left_in_a_chat() -> None:
    assert defang("see ![x](https://evil.example/?q=secret)") == "see [x](https://evil.example/?q=secret)"
    assert defang("!![x](u) ! ![y](u)") == "[x](u) [y](u)", "what is left makes no new one"
    assert defang("<img src=//evil> 1 < 2 </b> <!-- x") == "&lt;img src=//evil> 1 < 2 &lt;/b> &lt;!-- x"
