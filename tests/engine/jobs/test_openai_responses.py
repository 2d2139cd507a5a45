"""Responses in OpenAI's form: choices, log-probabilities, and calls of tools."""

from dataclasses import dataclass, field, replace

import pytest
from fake_model import FakeTokenizer

from lepton_cli.engine.decoding.scheduler import Outcome
from lepton_cli.engine.decoding.tool_use import ToolCalling, ToolUse
from lepton_cli.engine.events import Done, Stats, TokenLogprobs
from lepton_cli.engine.jobs.asking import Ask
from lepton_cli.engine.jobs.openai.responses import Responses
from lepton_cli.engine.text.template import ChatTemplate

CHAT, TEXT = Ask("a", shape="chat.completion"), Ask("a", shape="text_completion")
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALLS = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}"
    "<|im_start|>{{ c.function | tojson }}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
START, END = 258, 259  # <|im_start|> and <|im_end|>, which no answer shows
CALL = b'{"name": "f", "arguments": {"x": 1}}'


@dataclass
class Model:
    name: str = "m"
    tokenizer: FakeTokenizer = field(default_factory=FakeTokenizer)
    template: ChatTemplate = field(
        default_factory=lambda: ChatTemplate("t", CALLS, FakeTokenizer())
    )


def outcome(text: str = "hi", ids: tuple[int, ...] = (104, 105), **more: object) -> Outcome:
    stats = Stats(5, 0, 0, len(ids), *[0] * 4, reasoning_tokens=1)  # type: ignore[misc]
    done = replace(Done("stop", None, ids, stats), **more)  # type: ignore[arg-type]
    return Outcome(0, text, done=done)


def body(ask: Ask, *outcomes: Outcome) -> dict:
    model = Model()
    calling = ToolCalling(model)
    made = Responses(model, calling).body("0123456789abcdef" * 2, ask, outcomes, "print")
    assert isinstance(made, dict)
    return made


def test_each_choice_has_its_place_and_usage_is_of_all() -> None:
    made = body(replace(CHAT, choices=2), outcome("a"), outcome("b", reason="context"))
    assert [each["index"] for each in made["choices"]] == [0, 1]
    assert [each["message"]["content"] for each in made["choices"]] == ["a", "b"]
    assert [each["finish_reason"] for each in made["choices"]] == ["stop", "length"]
    counts = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    assert made["usage"] == {**counts, "completion_tokens_details": {"reasoning_tokens": 2}}


def test_logprobs_of_a_chat_have_bytes_and_the_likeliest() -> None:
    told = (TokenLogprobs(0xC3, -0.5, ((0xC3, -0.5), (105, -2.0))), TokenLogprobs(END, -0.1, ()))
    choice = body(replace(CHAT, logprobs=2), outcome(logprobs=told))["choices"][0]
    top = [
        {"token": "\ufffd", "logprob": -0.5, "bytes": [0xC3]},
        {"token": "i", "logprob": -2.0, "bytes": [105]},
    ]
    content = [{**top[0], "top_logprobs": top}]  # without the token that ends the answer
    assert choice["logprobs"] == {"content": content, "refusal": None}
    assert body(CHAT, outcome())["choices"][0]["logprobs"] is None


def test_logprobs_of_a_completion_are_lists() -> None:
    told = (TokenLogprobs(104, -1.0, ((104, -1.0),)), TokenLogprobs(105, -2.0, ()))
    choice = body(replace(TEXT, logprobs=1), outcome(logprobs=told))["choices"][0]
    assert choice["text"] == "hi"
    assert choice["logprobs"] == {
        "tokens": ["h", "i"],
        "token_logprobs": [-1.0, -2.0],
        "top_logprobs": [{"h": -1.0}, {}],
        "text_offset": [0, 1],
    }


def test_calls_are_found_though_their_marks_are_control_tokens() -> None:
    said = outcome("I look." + CALL.decode(), (*b"I look.", START, *CALL, END))
    choice = body(replace(CHAT, use=ToolUse((TOOL,))), said)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    call = {"name": "f", "arguments": '{"x": 1}'}
    assert choice["message"] == {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [{"id": "call_0123456789abcdef0_0", "type": "function", "function": call}],
    }
    alone = body(replace(CHAT, use=ToolUse((TOOL,))), outcome(CALL.decode(), (START, *CALL, END)))
    assert alone["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize("tools", [(), (TOOL,)])
def test_an_answer_without_calls_is_its_text(tools: tuple[dict, ...]) -> None:
    ids = (*b"hi", END) if tools else (START, *CALL, END)
    choice = body(replace(CHAT, use=ToolUse(tools)), outcome("hi", ids))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "hi"}
    assert choice["finish_reason"] == "stop"


def test_a_call_in_the_reasoning_is_no_call() -> None:
    ids = (*b"hm", *(START, *CALL) * 4, *b"hi", END)
    thoughtful = replace(outcome("hi", ids), reasoning=f"hm{CALL.decode() * 4}")
    choice = body(replace(CHAT, use=ToolUse((TOOL,))), thoughtful)["choices"][0]
    assert choice["message"]["content"] == "hi"
    assert "tool_calls" not in choice["message"]


def test_the_marks_of_reasoning_are_no_part_of_the_text() -> None:
    ids = (*b"<think>hm</think>\n\nNow:\n", START, *CALL, END)
    said = replace(outcome("Now:\n" + CALL.decode(), ids), reasoning="hm")
    message = body(replace(CHAT, use=ToolUse((TOOL,))), said)["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Now:", "hm")
    assert message["tool_calls"][0]["function"]["name"] == "f"
