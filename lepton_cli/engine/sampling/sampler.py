"""Sampling a token from logits: the settings, the table of samplers, and the sampler chain.

The chain is llama.cpp's: logit bias, the samplers in the order asked for, then a draw. The same
settings, seed, accepted tokens and logits always draw the same tokens, with any number of threads.
The generator is our own, in exact integers, and gives each token one number (XTC takes one more);
sums are float64; every tie goes to the lowest id. Another processor or NumPy may round exp, log and
sums differently in the last bit, which changes a token only if a draw or a threshold is within
1e-15.
"""

import difflib
import math
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.sampling.candidates import (
    MIN_TEMPERATURE,
    Candidates,
    apply_temperature,
    dynamic_temperature,
    min_p,
    top_k,
    top_n_sigma,
    top_p,
    typical,
    xtc,
)
from lepton_cli.engine.sampling.draws import AdaptiveP, Distribution, Draw, Mirostat, MirostatZipf
from lepton_cli.engine.sampling.penalties import Breakers, penalize, penalize_repeats
from lepton_cli.engine.sampling.randomness import Xoshiro256
from lepton_cli.engine.sampling.setting import (
    LARGE,
    SMALL,
    Setting,
    check_limits,
    check_number,
    setting,
)
from ops.drawing import DrawPlan
from ops.logits import RankedLogitsRow, RowLogits
from quant.errors import ConstraintError, ModelFileError, UsageError

T = TypeVar("T")
ORDER = (
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "typ_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
)

KEEP_BEST = frozenset({"top_n_sigma", "top_k", "top_p", "min_p", "temperature"})
"""Stages that always keep the most likely token."""


def _within(default: T, low: float, high: float, *aliases: str) -> T:
    """A field with limits; integers only if the default is one."""
    return setting(default, Setting(limits=(low, high), aliases=aliases))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn; the names are llama.cpp's flags, the defaults its defaults.

    Raises UsageError with the value and what is allowed.
    """

    temperature: float = _within(0.8, -LARGE, LARGE, "temp")  # 0 or less: greedy
    top_k: int = _within(40, -LARGE, LARGE)  # 0 or less: off
    top_p: float = _within(0.95, 0, 1)  # 1: off
    min_p: float = _within(0.05, 0, 1)  # 0: off
    typical_p: float = _within(1.0, 0, 1, "typical")  # 1: off
    top_n_sigma: float = _within(-1.0, -LARGE, LARGE, "top_nsigma")  # 0 or less: off
    repeat_penalty: float = _within(1.0, SMALL, LARGE, "repetition_penalty")  # 1: off
    repeat_last_n: int = _within(64, -1, LARGE)  # 0: off; -1: all tokens so far
    presence_penalty: float = _within(0.0, -LARGE, LARGE)  # 0: off; negative: encourages
    frequency_penalty: float = _within(0.0, -LARGE, LARGE)
    dry_multiplier: float = _within(0.0, 0, LARGE)  # 0: off
    dry_base: float = _within(1.75, 1, LARGE)
    dry_allowed_length: int = _within(2, 0, LARGE)
    dry_penalty_last_n: int = _within(64, -1, LARGE)  # 0: off; -1: all tokens so far
    dry_sequence_breakers: tuple[str, ...] = setting(
        ("\n", ":", '"', "*"), Setting(slash_set=False)
    )
    xtc_probability: float = _within(0.0, 0, 1)  # 0: off
    xtc_threshold: float = _within(0.1, 0, 1)  # above 0.5: off
    dynatemp_range: float = _within(0.0, 0, LARGE)  # 0: off
    dynatemp_exponent: float = _within(1.0, 0, LARGE, "dynatemp_exp")
    mirostat: int = _within(0, 0, 2)  # 0: off; a version replaces all but temperature
    mirostat_lr: float = _within(0.1, 0, LARGE)  # eta
    mirostat_ent: float = _within(5.0, 0, LARGE)  # tau, in bits
    adaptive_target: float = _within(-1.0, -LARGE, 1)  # below 0: off
    adaptive_decay: float = _within(0.9, 0, 0.99)
    logit_bias: tuple[tuple[int, float], ...] = setting(  # (token id, bias); -inf: never
        (), Setting(slash_set=False)
    )
    samplers: tuple[str, ...] = setting(ORDER, Setting())
    seed: int | None = setting(None, Setting())  # None: random
    min_keep: int = setting(  # fewest tokens that typ_p, top_p, min_p and xtc keep
        0, Setting(limits=(0, LARGE), column=False)
    )

    def __post_init__(self) -> None:
        check_limits(self)
        if self.seed is not None:
            check_number("seed", self.seed, (0, (1 << 64) - 1), whole=True)
        for token, bias in self.logit_bias:
            check_number("a token id in logit_bias", token, (0, LARGE), whole=True)
            if bias != -np.inf:
                name = f"the logit_bias of token {token}"
                check_number(name, bias, (-LARGE, LARGE), whole=False)
        if "" in self.dry_sequence_breakers:
            raise UsageError("a dry_sequence_breaker is empty", "for no breakers, give none")
        for name in self.samplers:
            find_stage(name)


@dataclass(slots=True)
class SamplerState:
    """The sampler's state, which stages may use."""

    rng: Xoshiro256
    breakers: Breakers
    history: list[int] = field(default_factory=list)  # accepted tokens, including the prompt's

    def window(self, last: int) -> NDArray[np.int32]:
        """The last tokens, oldest first; -1: all."""
        return np.array(self.history if last < 0 else self.history[-last:], dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Stage:
    """A sampler: when it is active and what it does; `apply` None: it replaces the final draw."""

    name: str
    letter: str  # in a sampling sequence
    active: Callable[[Sampling], bool]
    apply: Callable[[Candidates, Sampling, SamplerState], Candidates] | None
    aliases: tuple[str, ...] = ()


def _penalize(c: Candidates, s: Sampling, x: SamplerState) -> Candidates:
    window = x.window(s.repeat_last_n)
    return penalize(c, window, s.repeat_penalty, s.frequency_penalty, s.presence_penalty)


def _penalize_repeats(c: Candidates, s: Sampling, x: SamplerState) -> Candidates:
    window = x.window(s.dry_penalty_last_n)
    base, allowed = s.dry_base, s.dry_allowed_length
    return penalize_repeats(c, window, x.breakers, s.dry_multiplier, base, allowed)


def _apply_xtc(c: Candidates, s: Sampling, x: SamplerState) -> Candidates:
    if x.rng.uniform() >= s.xtc_probability:
        return c
    return xtc(c, s.xtc_threshold, s.min_keep)


def _apply_temperature(c: Candidates, s: Sampling, x: SamplerState) -> Candidates:
    if s.dynatemp_range == 0:
        return apply_temperature(c, s.temperature)
    return dynamic_temperature(c, s.temperature, s.dynatemp_range, s.dynatemp_exponent)


STAGES = (
    Stage(
        "penalties",
        "e",
        lambda s: (
            s.repeat_last_n != 0
            and (s.repeat_penalty, s.frequency_penalty, s.presence_penalty) != (1, 0, 0)
        ),
        _penalize,
    ),
    Stage(
        "dry",
        "d",
        lambda s: s.dry_multiplier > 0 and s.dry_penalty_last_n != 0,
        _penalize_repeats,
    ),
    Stage(
        "top_n_sigma",
        "s",
        lambda s: s.top_n_sigma > 0,
        lambda c, s, x: top_n_sigma(c, s.top_n_sigma),
    ),
    Stage("top_k", "k", lambda s: s.top_k > 0, lambda c, s, x: top_k(c, s.top_k)),
    Stage(
        "typ_p",
        "y",
        lambda s: s.typical_p < 1,
        lambda c, s, x: typical(c, s.typical_p, s.min_keep),
        ("typical", "typical_p", "typ"),
    ),
    Stage(
        "top_p",
        "p",
        lambda s: s.top_p < 1,
        lambda c, s, x: top_p(c, s.top_p, s.min_keep),
        ("nucleus",),
    ),
    Stage("min_p", "m", lambda s: s.min_p > 0, lambda c, s, x: min_p(c, s.min_p, s.min_keep)),
    Stage("xtc", "x", lambda s: s.xtc_probability > 0 and s.xtc_threshold <= 0.5, _apply_xtc),
    Stage(
        "temperature",
        "t",
        lambda s: s.temperature != 1 or s.dynatemp_range > 0,
        _apply_temperature,
        ("temp",),
    ),
    Stage("adaptive_p", "a", lambda s: s.adaptive_target >= 0, None),
)


def find_stage(name: str) -> Stage:
    """The stage of a name or alias, with - or _. Raises UsageError with the nearest name."""
    wanted = name.strip().lower().replace("-", "_")
    names = {alias: stage for stage in STAGES for alias in (stage.name, *stage.aliases)}
    if wanted not in names:
        nearest = names[difflib.get_close_matches(wanted, names, n=1, cutoff=0)[0]].name
        known = ", ".join(stage.name for stage in STAGES)
        raise UsageError(f"no sampler is called {name!r}; the nearest is {nearest}", known)
    return names[wanted]


def parse_samplers(text: str) -> tuple[str, ...]:
    """The samplers of `top_k;temperature`; raises UsageError."""
    return tuple(find_stage(name).name for name in text.split(";") if name.strip())


def parse_sampling_sequence(letters: str) -> tuple[str, ...]:
    """The samplers of `kt`; raises UsageError."""
    names = {stage.letter: stage.name for stage in STAGES}
    for letter in letters:
        if letter not in names:
            known = ", ".join(f"{key} {name}" for key, name in names.items())
            raise UsageError(f"no sampler has the letter {letter!r} of {letters!r}", known)
    return tuple(names[letter] for letter in letters)


class TokenTable(Protocol):
    """The part of a tokenizer that sampling needs."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def end_of_generation(self) -> frozenset[int]: ...

    def token_bytes(self, token: int, /, render_special: bool = False) -> bytes: ...


class Mask(Protocol):
    """Restricts the tokens that may be drawn."""

    def allowed(self) -> NDArray[np.bool_] | None:  # (V,)
        """A mask of the allowed tokens; None: all."""


class Sampler:
    """Draws the tokens of one answer: accept the prompt's, then sample and accept in turn.

    `seed` is the seed in use: 32 random bits if the settings have none. `suppressed` tokens are
    never drawn, nor end tokens with `ignore_eos`. `mask` gives the allowed tokens before each draw.
    Raises UsageError if no token is left to draw.
    """

    def __init__(
        self,
        sampling: Sampling,
        vocabulary: TokenTable,
        *,
        ignore_eos: bool = False,
        suppressed: Collection[int] = (),
        mask: Mask | None = None,
    ) -> None:
        self._mask = mask
        if sampling.mirostat:
            sampling = replace(sampling, samplers=("temperature",), dynatemp_range=0.0)
        fresh = int.from_bytes(os.urandom(4), "little")
        self.seed = fresh if sampling.seed is None else sampling.seed
        self._sampling = sampling
        stages = [find_stage(name) for name in sampling.samplers]
        self._chain = [stage for stage in stages if stage.active(sampling)]
        self._draw = self._choose_draw(vocabulary.vocab_size)
        never = {*suppressed, *(vocabulary.end_of_generation if ignore_eos else ())}
        self._set_biases(never, vocabulary.vocab_size)
        breakers = Breakers(sampling.dry_sequence_breakers, partial(_shown_bytes, vocabulary))
        self._state = SamplerState(Xoshiro256.seeded(self.seed), breakers)
        self._breaks = any(stage.name == "dry" for stage in self._chain)

    def sample(self, logits: RowLogits) -> int:  # (V,) -> a token id
        """Draws a token without modifying the logits. Raises ModelFileError for unusable logits.

        Raises ConstraintError if mask and bans leave no token.
        """
        candidates = self._from_largest(logits) if isinstance(logits, RankedLogitsRow) else None
        if candidates is None:
            candidates = self._allowed(np.asarray(logits))
        decided = self._greedy and len(candidates) == 1
        for stage in () if decided else self._chain:
            if stage.apply:
                candidates = stage.apply(candidates, self._sampling, self._state)
        return self._draw.draw(candidates, self._state.rng)

    def plan(self, vocabulary: int) -> DrawPlan | None:
        """How a backend may draw by itself from `vocabulary` logits; None if it may not."""
        s, names = self._sampling, [stage.name for stage in self._chain]
        simple = self._mask is None and not self._biased and self._draw.name == Distribution.name
        if not simple or vocabulary != len(self._all_ids) or s.dynatemp_range:
            return None
        if self._greedy:
            return DrawPlan(1)
        known = ("top_k", "top_p", "min_p", "temperature")
        if names != [name for name in known if name in names] or names[:1] != ["top_k"]:
            return None
        if s.min_keep > 1 or s.temperature < MIN_TEMPERATURE:
            return None
        top_p = s.top_p if "top_p" in names else 1.0
        least = math.log(s.min_p) if "min_p" in names else -math.inf
        temperature = s.temperature if "temperature" in names else 1.0
        return DrawPlan(min(s.top_k, vocabulary), top_p, least, temperature)

    def random_numbers(self, count: int) -> list[float]:
        """The random numbers of the next draws."""
        return [self._state.rng.uniform() for _ in range(count)]

    def accept(self, token: int) -> None:
        """Adds a token to the context."""
        self._state.history.append(token)
        if self._breaks:
            self._state.breakers.accept(token)

    def describe(self) -> tuple[str, ...]:
        """The names of the active steps, in order."""
        bias = ("logit_bias",) if self._biased else ()
        return (*bias, *(stage.name for stage in self._chain if stage.apply), self._draw.name)

    def _choose_draw(self, vocab_size: int) -> Draw:
        s = self._sampling
        if s.mirostat == 1:
            return MirostatZipf(s.mirostat_ent, s.mirostat_lr, vocab_size)
        if s.mirostat == 2:
            return Mirostat(s.mirostat_ent, s.mirostat_lr)
        if any(stage.apply is None for stage in self._chain):
            return AdaptiveP(s.adaptive_target, s.adaptive_decay)
        return Distribution()

    def _set_biases(self, never: set[int], vocab_size: int) -> None:
        sums: dict[int, float] = {}
        for token, bias in self._sampling.logit_bias:
            sums[token] = sums.get(token, 0.0) + bias
        for token in {*sums, *never}:
            if not 0 <= token < vocab_size:
                known = f"the model knows 0 to {vocab_size - 1}"
                raise UsageError(f"there is no token {token} to bias or exclude", known)
        never |= {token for token, bias in sums.items() if bias == -np.inf}
        self._excluded, self._never = never, np.array(sorted(never), np.int32)
        self._all_ids = np.arange(vocab_size, dtype=np.int32)
        self._ids = np.delete(self._all_ids, self._never)
        if not len(self._ids):
            raise UsageError(f"all {vocab_size} tokens are excluded", "allow at least one")
        raised = np.array(sorted(sums.keys() - never), dtype=np.int32)
        self._biases = np.searchsorted(self._ids, raised), np.array([sums[t] for t in raised])
        self._where = self._ids if never else slice(vocab_size)
        self._values = np.empty(len(self._ids))
        self._biased = bool(sums or never)
        # a first top_k works on float32: converting all logits would take a tenth of a millisecond
        names = [stage.name for stage in self._chain]
        self._narrows = not len(raised) and names[:1] == ["top_k"]
        s = self._sampling
        cold = "temperature" in names and s.temperature <= 0 and s.dynatemp_range == 0
        self._greedy = cold and KEEP_BEST.issuperset(names)

    def _from_largest(self, row: RankedLogitsRow) -> Candidates | None:
        """The tokens that top_k or greedy decoding keeps; None if they have to be searched."""
        count = 1 if self._greedy else self._sampling.top_k
        if self._mask or not self._narrows:
            return None
        ids, values = row.largest()
        if not np.isfinite(values[0]):
            return None  # the whole row will be checked
        if self._greedy and ids[0] < len(self._all_ids) and int(ids[0]) not in self._excluded:
            return Candidates(ids[:1], values[:1])
        usable = (ids < len(self._all_ids)) & ~np.isin(ids, self._never)
        chosen = np.flatnonzero(usable)[:count]
        if len(chosen) < min(count, len(self._ids)):
            return None
        order = chosen[np.argsort(ids[chosen])]
        return _finite(Candidates(ids[order], values[order]))

    def _allowed(self, logits: NDArray[np.float32]) -> Candidates:
        allowed = self._mask.allowed() if self._mask else None
        if allowed is not None:
            return self._masked(logits, allowed)
        if not self._narrows:
            return _usable(self._ids, self._widened(logits))
        values = logits[: len(self._all_ids)]  # files may pad rows beyond the vocabulary
        if self._greedy and (best := int(values.argmax())) not in self._excluded:
            return self._only(best, values)
        if self._excluded:
            values = values.copy()
            values[self._never] = -np.inf
        return self._narrowed(values)

    def _narrowed(self, values: NDArray[np.float32]) -> Candidates:
        if self._greedy:
            return self._only(int(values.argmax()), values)
        _check_usable(values)
        return _finite(top_k(Candidates(self._all_ids, values), self._sampling.top_k))

    def _only(self, best: int, values: NDArray[np.float32]) -> Candidates:
        """The most likely token. NaN counts as the maximum, so it is found here."""
        if not math.isfinite(values[best]):
            raise unusable_logits()
        return Candidates(self._all_ids[best : best + 1], values[best : best + 1])

    def _masked(self, logits: NDArray[np.float32], allowed: NDArray[np.bool_]) -> Candidates:
        allowed[self._never] = False
        count = np.count_nonzero(allowed)
        if not count:
            hint = "see --logit-bias, --ban and --ignore-eos"
            raise ConstraintError("no token is allowed: the constraint needs an excluded one", hint)
        if self._narrows and 2 * count > len(allowed):  # masking a copy is faster than selecting
            return self._narrowed(np.where(allowed, logits[: len(allowed)], np.float32(-np.inf)))
        ids = np.flatnonzero(allowed)
        values = logits[ids] if self._narrows else logits[ids].astype(np.float64)
        candidates = Candidates(ids.astype(np.int32), values)
        positions, biases = self._biases
        found, present = candidates.find(self._ids[positions])
        values[found] += biases[present]
        return _usable(candidates.ids, values)

    def _widened(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        values = self._values
        values[:] = logits[self._where]
        positions, biases = self._biases
        values[positions] += biases
        return values


def _usable(ids: NDArray[np.int32], values: NDArray[np.floating[Any]]) -> Candidates:
    _check_usable(values)
    return _finite(Candidates(ids, values))


def _check_usable(values: NDArray[np.floating[Any]]) -> None:
    if not np.isfinite(values.max()):  # catches NaN, too
        raise unusable_logits()


def unusable_logits() -> ModelFileError:
    hint = "the file is probably damaged: compare its size and checksum with the source"
    return ModelFileError("the model gave no usable logits", hint)


def _finite(candidates: Candidates) -> Candidates:
    some = candidates.logits.min() == -np.inf
    return candidates.keep(candidates.logits > -np.inf) if some else candidates


def _shown_bytes(vocabulary: TokenTable, token: int) -> bytes:
    return vocabulary.token_bytes(token, render_special=True)
