"""The body of a response in OpenAI's format, without times: the bytes are reproducible."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Protocol

from lepton_cli.engine.decoding.scheduler import Outcome
from lepton_cli.engine.decoding.tool_use import ToolCalling, call_record
from lepton_cli.engine.events import Done, TokenLogprobs
from lepton_cli.engine.jobs.asking import Ask
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.tokenizer import Tokenizer

REASONS = {"context": "length"}  # OpenAI has one reason for both


class NamedModel(Protocol):
    """A model's name and its tokenizer."""

    @property
    def name(self) -> str: ...

    @property
    def tokenizer(self) -> Tokenizer: ...


class Responses:
    """Makes the bodies of responses of a model."""

    def __init__(self, model: NamedModel, calling: ToolCalling) -> None:
        self._model, self._calling = model, calling

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
        said = outcome.text, outcome.reasoning, done.token_ids
        text, calls = self._calling.split(*said, ask.use, prefix)
        message: dict[str, Plain] = {"role": "assistant", "content": text}
        if outcome.reasoning:
            message["reasoning_content"] = outcome.reasoning
        if calls:
            message |= {
                "content": text or None,
                "tool_calls": [call_record(call) for call in calls],
            }
            reason = "tool_calls" if reason == "stop" else reason
        logprobs = self._logprobs(done.logprobs) if has_logprobs else None
        return {"message": message, "logprobs": logprobs, "finish_reason": reason}

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
