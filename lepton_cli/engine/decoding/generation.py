"""Generation settings, and fitting a prompt into the context window."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.library.json_values import STRICT, Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.engine.sampling.setting import LARGE, Setting, check_limits, setting
from quant.errors import ContextOverflowError, UsageError

Overflow = Literal["error", "drop-old", "middle", "shift"]
"""What happens to a prompt that is too long: an error, or its beginning or middle is dropped.

`shift` drops the beginning too, and again whenever the window is full during generation.
"""


Preserve = Literal["auto", "on", "off"]
"""Whether a prompt contains the reasoning of earlier answers; `auto`: as the template does."""


ANSWER_ROOM = 512  # tokens for an answer in the context size that an error suggests


RECORDED = Setting(column=False, slash_set=False)  # cannot be set by a batch row or /set
UNLISTED = replace(RECORDED, changes_answer=False)
OF_THE_CHAT = {"messages", "bos_token", "eos_token", "add_generation_prompt"}
"""Variables of chat templates that nobody may set: they are the conversation itself."""


def _constraint_record(constraint: Constraint | None) -> Plain:
    return None if constraint is None else asdict(constraint)


def _variables_record(text: str) -> Plain:
    variables: Plain = json.loads(text) if text else None
    return variables


def checked_variables(value: Plain) -> str:
    """Variables for a chat template, a JSON object or its text, as canonical text; "" if there are
    none. Raises UsageError.
    """
    name, example = "chat_template_kwargs", 'for example {"enable_thinking": false}'
    given = value.strip() if isinstance(value, str) else value
    if given is None or given == "":
        return ""
    try:
        variables = STRICT.decode(given) if isinstance(given, str) else given
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is {value!r:.60}, which is not JSON", example) from error
    if not isinstance(variables, dict):
        raise UsageError(f"{name} is {value!r:.60}: it must be a JSON object", example)
    if taken := OF_THE_CHAT & variables.keys():
        message = f"{name} has {min(taken)!r}, which is part of the conversation"
        raise UsageError(message, "leave it out")
    return json.dumps(variables, ensure_ascii=False, sort_keys=True) if variables else ""


@dataclass(frozen=True, slots=True)
class Diffusion:
    """How models fill in masked tokens; llama.cpp's flags and defaults. Raises UsageError.

    Times fall to `eps` where the whole answer is one block.
    """

    steps: int = setting(128, Setting(limits=(1, 1 << 20)))
    algorithm: int = setting(4, Setting(limits=(0, 4)))
    alg_temp: float = setting(0.0, Setting(limits=(0, LARGE)))  # 0: the surest are filled in
    block_length: int = setting(0, Setting(limits=(0, 1 << 20)))  # 0: the whole answer
    eps: float = setting(1e-3, Setting(limits=(0, 1)))
    cfg_scale: float = setting(0.0, Setting(limits=(0, LARGE)))  # 0: without guidance

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, slots=True)
class Generation:
    """Settings of generation. `max_tokens` None: until end of text or the window is full.

    Raises UsageError for a number outside its limits.
    """

    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = setting(
        None,
        Setting(
            aliases=("max_completion_tokens", "n_predict"),
            set_aliases=("n", "predict", "num_predict"),
        ),
    )
    stop: tuple[str, ...] = setting((), Setting(set_aliases=("reverse_prompt",)))
    ban: tuple[str, ...] = setting((), RECORDED)  # texts that the answer must not contain
    overflow: Overflow = setting("error", Setting(column=False))
    ignore_eos: bool = setting(False, Setting())
    constraint: Constraint | None = setting(  # required form of the answer; reasoning is free
        None, replace(RECORDED, written=_constraint_record)
    )
    reasoning_budget: int = setting(  # most tokens of reasoning; -1: any number, 0: none
        -1, Setting(limits=(-1, 1 << 31), aliases=("thinking_budget_tokens",))
    )
    reasoning_budget_message: str = setting("", Setting())  # ends a reasoning that is cut
    reasoning_effort: str = setting("", Setting())  # for the chat template; "": its own default
    reasoning_preserve: Preserve = setting("auto", Setting())
    chat_template_kwargs: str = setting(  # variables for the chat template, a JSON object or ""
        "", Setting(written=_variables_record)
    )
    split_reasoning: bool = setting(True, UNLISTED)
    draft_max: int = setting(15, UNLISTED)  # most draft tokens per pass; 0: no speculative decoding
    draft_p_min: float = setting(0.75, UNLISTED)  # a draft model stops below this probability
    logprobs: int | None = setting(None, UNLISTED)  # top log-probabilities reported per token
    diffusion: Diffusion = setting(Diffusion(), UNLISTED)  # of models that fill in masked tokens

    def __post_init__(self) -> None:
        check_limits(self)

    @property
    def template_variables(self) -> dict[str, object]:
        """What the chat template gets besides the messages; it ignores what it does not know."""
        variables = dict[str, object]()
        if self.reasoning_budget == 0:
            variables |= {"enable_thinking": False, "thinking": False}
        if self.reasoning_effort:
            variables["reasoning_effort"] = self.reasoning_effort
        if self.reasoning_preserve != "auto":
            preserve = self.reasoning_preserve == "on"
            variables |= {"preserve_thinking": preserve, "clear_thinking": not preserve}
        given: dict[str, object] = json.loads(self.chat_template_kwargs or "{}")
        return variables | given


def protected_tokens(ids: Sequence[int], bos: int | None) -> int:
    """How many tokens at the start of a prompt always stay: many models fail without BOS."""
    return int(len(ids) > 0 and ids[0] == bos)


def shifted(ids: Sequence[int], size: int, keep: int) -> list[int]:
    """The tokens of a full window that stay: the first `keep` and the newer half."""
    keep = min(keep, size - 1)
    return [*ids[:keep], *ids[max(keep + 1, size // 2) :]]


def check_ids(ids: Sequence[int], vocabulary: int) -> None:
    """Raises UsageError for a prompt that is empty, or has ids that are no tokens."""
    if not len(ids):
        raise UsageError("the prompt is empty", "give at least one token")
    low, high = min(ids), max(ids)
    if low < 0 or high >= vocabulary:
        wrong = low if low < 0 else high
        raise UsageError(f"the token id {wrong} is outside the vocabulary of {vocabulary}")


def fit(
    ids: Sequence[int], size: int, overflow: Overflow, keep: int = 0, longest: int = 0
) -> list[int]:
    """The prompt's tokens that fit into a window of `size`, with room for an answer.

    The first `keep` tokens always stay. `longest` is the largest possible window, for the hint.
    Raises ContextOverflowError when the policy is `error`, UsageError for an empty prompt.
    """
    if not ids:
        raise UsageError("the prompt is empty", "give it on the command line, with -f, or on stdin")
    if len(ids) < size:
        return list(ids)
    if overflow == "error":
        message = f"the prompt has {counted(len(ids), 'token')}, the context {size}"
        wanted = len(ids) + min(ANSWER_ROOM, len(ids))
        larger = f"-c {wanted}, " if wanted <= longest else ""
        hint = f"use {larger}a shorter prompt, or --overflow drop-old|middle|shift"
        raise ContextOverflowError(message, hint)
    count = max(1, size - size // 4)  # a quarter of the window for the answer
    head = min(count - 1, count // 2 if overflow == "middle" else keep)
    return [*ids[:head], *ids[len(ids) - (count - head) :]]
