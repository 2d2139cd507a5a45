"""Texts that an answer must not hold, also where several tokens spell them together."""

from collections.abc import Sequence

from lepton_cli.engine.tokenizer import Tokenizer


class Bans:
    """Which tokens would complete one of the texts, after what was said so far."""

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer) -> None:
        self._banned = [text.encode() for text in texts if text]
        self._longest = max(map(len, self._banned), default=0)
        self._tokenizer, self._said = tokenizer, b""

    def forbid(self, token: int) -> bool:
        """Whether the token may not come now."""
        text = self._said + self._tokenizer.token_bytes(token)
        return any(banned in text for banned in self._banned)

    def accept(self, token: int) -> None:
        """Only what can be the beginning of a banned text has to be remembered."""
        text = self._said + self._tokenizer.token_bytes(token)
        self._said = text[max(0, len(text) - self._longest + 1) :]
