"""How vocabularies encode text: a printable character per byte, or plain UTF-8."""

from typing import Protocol


class Alphabet(Protocol):
    """The encoding of text in a vocabulary."""

    def written(self, piece: str) -> str:
        """Text as the vocabulary writes it."""

    def decoded(self, text: bytes) -> bytes:
        """The bytes that a token's text means."""


class ByteAlphabet:
    """A printable character per byte: most are themselves, 68 become U+0100 and up."""

    def __init__(self) -> None:
        printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
        spare = iter(range(0x100, 0x200))
        codes = [byte if byte in printable else next(spare) for byte in range(256)]
        self.characters = "".join(map(chr, codes))
        self._bytes = {char: bytes([byte]) for byte, char in enumerate(self.characters)}

    def written(self, piece: str) -> str:
        return piece.encode().decode("latin-1").translate(self.characters)

    def decoded(self, text: bytes) -> bytes:
        return b"".join(self._bytes.get(char) or char.encode() for char in text.decode())


class PlainAlphabet:
    """Plain UTF-8, where `space` represents a space (already replaced in the text)."""

    def __init__(self, space: str) -> None:
        self._space = space.encode()

    def written(self, piece: str) -> str:
        return piece

    def decoded(self, text: bytes) -> bytes:
        return text.replace(self._space, b" ")
