"""The body of a response in OpenAI's format, without times: the bytes are reproducible."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Protocol

from lepton_cli.engine.decoding.scheduler import Outcome
from lepton_cli.engine.events import Done, TokenLogprobs
from lepton_cli.engine.jobs.asking import Ask
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.messages import ToolCall
from lepton_cli.engine.text.template import ChatTemplate
from lepton_cli.engine.text.tokenizer import Tokenizer
from lepton_cli.engine.text.tool_calls import CallForm, call_form, read_calls

REASONS = {"context": "length"}  # OpenAI has one reason for both


class Speaker(Protocol):
    """A model's name, its tokenizer and its template."""

    @property
    def name(self) -> str: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def template(self) -> ChatTemplate: ...


class Responses:
    """Makes the bodies of responses of a model."""

    def __init__(self, model: Speaker) -> None:
        self._model = model

    def body(self, key: str, ask: Ask, outcomes: Sequence[Outcome], fingerprint: str) -> Plain:
        """The response with a choice for each of the outcomes, all of which have ended."""
        ended = [outcome.done for outcome in outcomes if outcome.done is not None]
        choices: list[Plain] = [
            {"index": number, **self._choice(f"call_{key[:16]}{number}_", ask, outcome, done)}
            for number, (outcome, done) in enumerate(zip(outcomes, ended, strict=True))
        ]
        prompt = ended[0].stats.prompt_tokens
        completion = sum(done.stats.generated_tokens for done in ended)
        reasoning = sum(done.stats.reasoning_tokens for done in ended)
        return {
            "id": f"cmpl-{key}",
            "object": ask.shape,
            "created": 0,
            "model": self._model.name,
            "choices": choices,
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            },
            "system_fingerprint": fingerprint,
        }

    def _choice(self, prefix: str, ask: Ask, outcome: Outcome, done: Done) -> dict[str, Plain]:
        reason = REASONS.get(done.reason, done.reason)
        has_logprobs = ask.logprobs is not None
        if ask.shape == "text_completion":
            legacy = self._legacy_logprobs(done.logprobs) if has_logprobs else None
            return {"text": outcome.text, "logprobs": legacy, "finish_reason": reason}
        text, calls = self._split(prefix, ask, outcome, done)
        message: dict[str, Plain] = {"role": "assistant", "content": text}
        if outcome.reasoning:
            message["reasoning_content"] = outcome.reasoning
        if calls:
            message |= {"content": text or None, "tool_calls": [_record(call) for call in calls]}
            reason = "tool_calls" if reason == "stop" else reason
        logprobs = self._logprobs(done.logprobs) if has_logprobs else None
        return {"message": message, "logprobs": logprobs, "finish_reason": reason}

    def _split(
        self, prefix: str, ask: Ask, outcome: Outcome, done: Done
    ) -> tuple[str, Sequence[ToolCall]]:
        """The text of an answer and its calls, whose marks may be tokens that the text lacks."""
        if not ask.use.tools:
            return outcome.text, ()
        pieces = [self._token(token) for token in done.token_ids]
        whole = b"".join(pieces).decode(errors="replace")
        thought = self._thought(outcome.reasoning, done.token_ids)
        begin = len(b"".join(pieces[:thought]).decode(errors="replace"))
        found = read_calls(whole[begin:], self._form, ask.use.functions, prefix)
        if not found.calls:
            return outcome.text, ()
        calls = found.calls[:1] if ask.use.one_call else found.calls
        end = len(whole[: begin + found.begin].encode())
        before = bisect_left(list(accumulate(map(len, pieces), initial=0)), end)
        shown = self._model.tokenizer.decode(done.token_ids[:before])
        place = self._model.tokenizer.decode(done.token_ids).rfind(outcome.text)
        return outcome.text[: max(len(shown) - place, 0)].strip() if place >= 0 else "", calls

    def _thought(self, reasoning: str, ids: Sequence[int]) -> int:
        """With how many tokens the reasoning ends, whose text lacks control tokens.

        Where it is in several parts, at least its length is before the answer.
        """
        decode = self._model.tokenizer.decode
        end = max(decode(ids).find(reasoning), 0) + len(reasoning)
        return bisect_left(range(len(ids)), end, key=lambda count: len(decode(ids[:count])))

    @cached_property
    def _form(self) -> CallForm | None:
        return call_form(self._model.template)

    def _token(self, token: int) -> bytes:
        return self._model.tokenizer.token_bytes(token, render_special=True)

    def _logprobs(self, tokens: Iterable[TokenLogprobs]) -> Plain:
        content: list[Plain] = [
            {
                **self._likely(each.token, each.logprob),
                "top_logprobs": [self._likely(*pair) for pair in each.top],
            }
            for each in self._spoken(tokens)
        ]
        return {"content": content, "refusal": None}

    def _likely(self, token: int, logprob: float) -> dict[str, Plain]:
        data = self._token(token)
        return {"token": data.decode(errors="replace"), "logprob": logprob, "bytes": list(data)}

    def _legacy_logprobs(self, tokens: Iterable[TokenLogprobs]) -> Plain:
        """Of completions: lists of the same length."""
        spoken = list(self._spoken(tokens))
        texts = [self._token(each.token).decode(errors="replace") for each in spoken]
        tops: list[Plain] = [
            {self._token(token).decode(errors="replace"): logprob for token, logprob in each.top}
            for each in spoken
        ]
        ends = accumulate(map(len, texts), initial=0)
        return {
            "tokens": [*texts],
            "token_logprobs": [each.logprob for each in spoken],
            "top_logprobs": tops,
            "text_offset": list[Plain](ends)[:-1],
        }

    def _spoken(self, tokens: Iterable[TokenLogprobs]) -> Iterable[TokenLogprobs]:
        """Without the token that ends the answer."""
        ends = self._model.tokenizer.end_of_generation
        return (each for each in tokens if each.token not in ends)


def _record(call: ToolCall) -> Plain:
    function: Plain = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
