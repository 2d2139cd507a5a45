"""Masks of the tokens that a grammar allows next, for one vocabulary.

Tokens are matched by their bytes. Special tokens are excluded, so that an answer cannot contain
control tokens; end tokens are allowed exactly when the text is complete.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from lepton_cli.engine.constraints.grammars import Grammar
from lepton_cli.engine.constraints.lookahead import Lookahead, SearchSteps, TextRule
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import ConstraintError, UsageError

SLICES = [  # of the vocabulary, whose masks inside strings are precomputed
    r'[^"\\\x00-\x1F\x7F]{1,10}',
    r'[^"\\\x00-\x1F\x7F]{1,30}',
]
NO_UTF8 = frozenset({0xC0, 0xC1, *range(0xF5, 0x100)})  # bytes that do not occur in UTF-8
SPELLED = frozenset({*b"\t\n", *range(0x20, 0x100)} - NO_UTF8 - {0x7F})  # bytes of ordinary texts
SIMPLER = "use fewer alternatives and smaller counts, or repeat by * instead of recursion"
CACHED_GRAMMARS = 256  # a batch often has one per row


class Masks:
    """Creates matchers. Set-up takes 0.3 s for a large vocabulary, so once per model."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        size = tokenizer.vocab_size
        spoken = [tokenizer.token_bytes(token) for token in range(size)]
        named = (tokenizer.token_id(text) for text in tokenizer.special_texts)
        roles = {*tokenizer.end_of_generation, *(token for token in named if token is not None)}
        for token, data in enumerate(spoken):
            if not data or not NO_UTF8.isdisjoint(data):
                roles.add(token)
        for token in roles:
            spoken[token] = b"[%d]" % token  # the engine needs distinct texts
        self._spoken, self._roles = spoken, frozenset(roles)
        self._vocabulary = LLTokenizer(_Vocabulary(spoken, sorted(roles)), slices=SLICES)
        self._ends = np.array(sorted(tokenizer.end_of_generation), np.int64)
        self._size = size
        self.line_breaks = frozenset(
            token for token, data in enumerate(spoken) if data and not data.strip(b"\n")
        )
        self._first = lru_cache(CACHED_GRAMMARS)(self._made)
        self._ahead = lru_cache(CACHED_GRAMMARS)(self._looking)
        self._alphabet = lru_cache(1)(self._made_alphabet)

    def matcher(self, grammar: Grammar) -> "Matcher":
        """A new matcher at the beginning of a text. Raises UsageError if it is too large."""
        return Matcher(self._first(grammar.engine).deep_copy(), self._size, self._ends)

    def lookahead(self, grammar: Grammar, never: frozenset[int]) -> "TokenLookahead":
        """A new look-ahead. Tokens in `never` are excluded, whatever the grammar allows."""
        return self._ahead(grammar.engine, never).copy()

    def spells_all(self, never: frozenset[int]) -> bool:
        """Whether any text can be spelled byte by byte, without the tokens in `never`."""
        return self._alphabet(never)[1]

    def _spells_all(self, never: frozenset[int]) -> bool:
        single = {data for token, data in enumerate(self._spoken) if token not in never}
        return all(bytes([byte]) in single for byte in SPELLED)

    def ids(self, text: str) -> list[int]:
        """Tokens that spell a text, longest match first."""
        return self._vocabulary.greedy_tokenize(text)

    def _looking(self, engine: str, never: frozenset[int]) -> "TokenLookahead":
        alphabet, by_bytes = self._alphabet(never)
        ahead = alphabet.begin(engine, to_the_end=not by_bytes)
        return TokenLookahead(ahead, self._spoken, by_bytes=by_bytes)

    def _made_alphabet(self, never: frozenset[int]) -> tuple[SearchSteps, bool]:
        if self._spells_all(never):
            return SearchSteps.of_bytes(), True
        return SearchSteps(self._vocabulary, self._spoken, never | self._roles), False

    def _made(self, engine: str) -> LLMatcher:
        matcher = LLMatcher(self._vocabulary, engine, log_level=0)
        if matcher.is_error():
            raise UsageError(_too_complex(matcher).message, SIMPLER)
        return matcher


class TokenLookahead:
    """Looks ahead from any token of an answer."""

    def __init__(self, ahead: Lookahead, spoken: list[bytes], *, by_bytes: bool) -> None:
        self._ahead, self._spoken, self._by_bytes = ahead, spoken, by_bytes
        self._tried: dict[int, Lookahead] = {}  # look-aheads after tokens that were tried

    def copy(self) -> "TokenLookahead":
        return TokenLookahead(self._ahead.copy(), self._spoken, by_bytes=self._by_bytes)

    def possible(self, token: int, rules: Sequence[TextRule]) -> bool:
        """Whether a complete text may follow a token; `rules` are in the state after it."""
        following = self._tried[token] = self._behind(token)
        return following.possible(rules)

    def accept(self, token: int) -> None:
        """Takes a token that the grammar allows."""
        self._ahead = self._tried.get(token) or self._behind(token)
        self._tried = {}

    def _behind(self, token: int) -> Lookahead:
        following = self._ahead.copy()
        following.accept(self._spoken[token] if self._by_bytes else [token])
        return following


class _Vocabulary(TokenizerWrapper):
    """The vocabulary in the engine's form, with one more token for the end of text."""

    is_tokenizer_wrapper = True

    def __init__(self, tokens: list[bytes], special: list[int]) -> None:
        self.tokens, self.special_token_ids = [*tokens, b""], special
        self.eos_token_id, self.bos_token_id = len(tokens), None

    def __call__(self, text: str) -> list[int]:
        """Required by the engine, which tokenizes by itself what this leaves out."""
        return []


class Matcher:
    """The state of one answer in its grammar."""

    def __init__(self, engine: LLMatcher, size: int, ends: NDArray[np.int64]) -> None:
        self._engine, self._size, self._ends = engine, size, ends
        self._words = np.zeros((size + 32) // 32, np.uint32)  # includes a bit for the end of text

    def allowed(self) -> NDArray[np.bool_]:  # (V,)
        """A mask of the allowed tokens. Raises ConstraintError if the engine gives up."""
        self._engine.unsafe_compute_mask_ptr(self._words.ctypes.data, self._words.nbytes)
        if self._engine.is_error():
            raise _too_complex(self._engine)
        bits = np.unpackbits(self._words.view(np.uint8), count=self._size, bitorder="little").view(
            np.bool_
        )
        if self.complete:
            bits[self._ends] = True
        return bits

    def accept(self, token: int) -> bool:
        """Takes a token; returns False, without any change, if it is not allowed.

        Raises ConstraintError if the engine gives up.
        """
        accepted = self._engine.try_consume_tokens([token]) == 1
        if self._engine.is_error():
            raise _too_complex(self._engine)
        return accepted

    @property
    def ended(self) -> bool:
        """Whether the text is complete and nothing can follow."""
        return self._engine.is_stopped() and self.complete

    @property
    def complete(self) -> bool:
        return self._engine.is_accepting()


def _too_complex(matcher: LLMatcher) -> ConstraintError:
    reason = matcher.get_error().strip().splitlines()[0]
    message = f"the constraint is too complex: {reason:.160}"
    return ConstraintError(message, SIMPLER)
