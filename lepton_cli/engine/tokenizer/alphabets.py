"""How vocabularies write text: a printable character for every byte, or plain UTF-8."""

from typing import Protocol


class Alphabet(Protocol):
    """How the vocabulary writes text."""

    def symbols(self, piece: str) -> list[bytes]:
        """What merging starts from."""

    def byte_text(self, byte: int) -> bytes:
        """The text of the token for a single byte, where it is a normal token."""

    def decoded(self, text: bytes) -> bytes:
        """What a token's text stands for."""


class ByteAlphabet:
    """A printable character for every byte: most stand for themselves, 68 become U+0100 and up."""

    def __init__(self) -> None:
        printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
        spare = iter(range(0x100, 0x200))
        characters = [chr(byte if byte in printable else next(spare)) for byte in range(256)]
        self._texts = [character.encode() for character in characters]
        self._bytes = {character: bytes([byte]) for byte, character in enumerate(characters)}

    def symbols(self, piece: str) -> list[bytes]:
        return [self._texts[byte] for byte in piece.encode()]

    def byte_text(self, byte: int) -> bytes:
        return self._texts[byte]

    def decoded(self, text: bytes) -> bytes:
        return b"".join(self._bytes.get(char) or char.encode() for char in text.decode())


class CharacterAlphabet:
    """Plain UTF-8, in which `space` stands for a space."""

    def __init__(self, space: str) -> None:
        self._space = space.encode()

    def symbols(self, piece: str) -> list[bytes]:
        return [character.encode() for character in piece]

    def byte_text(self, byte: int) -> bytes:
        return bytes([byte])

    def decoded(self, text: bytes) -> bytes:
        return text.replace(self._space, b" ")
