"""Generation settings, and fitting a prompt into the context window."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.engine.sampling.setting import LARGE, Setting, check_limits, setting
from quant.errors import ContextOverflowError, UsageError

Overflow = Literal["error", "drop-old", "middle", "shift"]
"""What happens to a prompt that is too long: an error, or its beginning or middle is dropped.

`shift` drops the beginning too, and again whenever the window is full during generation.
"""


ANSWER_ROOM = 512  # tokens for an answer in the context size that an error suggests


RECORDED = Setting(column=False, slash_set=False)  # cannot be set by a batch row or /set
UNLISTED = replace(RECORDED, changes_answer=False)


def _constraint_record(constraint: Constraint | None) -> Plain:
    return None if constraint is None else asdict(constraint)


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
    split_reasoning: bool = setting(True, UNLISTED)
    draft_max: int = setting(15, UNLISTED)  # most draft tokens per pass; 0: no speculative decoding
    draft_p_min: float = setting(0.75, UNLISTED)  # a draft model stops below this probability
    logprobs: int | None = setting(None, UNLISTED)  # top log-probabilities reported per token
    diffusion: Diffusion = setting(Diffusion(), UNLISTED)  # of models that fill in masked tokens

    def __post_init__(self) -> None:
        check_limits(self)


def protected_tokens(ids: Sequence[int], bos: int | None) -> int:
    """How many tokens at the start of a prompt always stay: many models fail without BOS."""
    return int(len(ids) > 0 and ids[0] == bos)


def shifted(ids: Sequence[int], size: int, keep: int) -> list[int]:
    """The tokens of a full window that stay: the first `keep` and the newer half."""
    keep = min(keep, size - 1)
    return [*ids[:keep], *ids[max(keep + 1, size // 2) :]]


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
