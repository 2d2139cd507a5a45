r"""Translates the patterns of JSON schemas (ECMAScript regexes) for other regex engines.

Most of the syntax is common. What differs is spelled out: `[` and `&&` are plain in a class, `[^]`
is any character, `\cA` and `\0` are control characters, `\ud83d\ude00` is one character.
"""

import regex

PIECES = regex.compile(
    r"""\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})
    |\\u\{(?P<point>[0-9a-fA-F]{1,6})\} | \\u(?P<unit>[0-9a-fA-F]{4}) | \\c(?P<control>[a-zA-Z])
    |(?P<null>\\0)(?![0-9]) | \\(?P<slash>/) | \\. | (?P<any>\[\^\]) | (?P<none>\[\])
    |(?P<begin>\[\^?) | (?P<end>\]) | (?P<comma>\{,) | (?P<sign>[&~]) | .""",
    regex.VERBOSE | regex.DOTALL,
)

LOOKED_AT = regex.compile(
    r"(?P<look>\(\?<?[=!])|(?P<boundary>\\[bB])|\\.|(?P<open>\()|(?P<close>\))"
    r"|(?P<begin>\[)|(?P<end>\])|.",
    regex.DOTALL,
)


def portable_pattern(pattern: str) -> str:
    """A pattern for Rust's regex crate and the module `regex`. Raises ValueError."""
    written: list[str] = []
    inside = False  # of a class
    for piece in PIECES.finditer(pattern):
        text = piece[0]
        if inside:
            inside = not text.endswith("]") or text.startswith("\\")
            text = _in_class(piece)
        elif piece["begin"]:
            inside = True
        else:
            text = {"any": "(?s:.)", "none": r"[^\s\S]", "comma": r"\{,"}.get(
                piece.lastgroup or "", _character(piece)
            )
        written.append(text)
    found = "".join(written)
    try:
        regex.compile(found)
    except regex.error as error:
        raise ValueError(str(error)) from error
    return found


def without_looks(pattern: str) -> str:
    """A portable pattern without look-arounds and boundaries; it matches at least the same texts.

    Skips each look-around up to its closing parenthesis.
    """
    written: list[str] = []
    depth, inside = 0, False  # of parentheses within a look-around; of a class
    for piece in LOOKED_AT.finditer(pattern):
        text = piece[0]
        inside = not piece["end"] if inside else bool(piece["begin"])
        if not inside and (depth or piece["look"]):
            depth += bool(piece["look"] or piece["open"]) - bool(piece["close"])
        elif not depth and (inside or not piece["boundary"]):
            written.append(text)
    return "".join(written)


def _in_class(piece: "regex.Match[str]") -> str:
    """Translates a piece inside a class."""
    if piece[0] == r"\b":
        return r"\x08"
    if piece["any"] or piece["none"]:
        return f"\\{piece[0]}"
    return f"\\{piece[0]}" if piece["begin"] or piece["sign"] else _character(piece)


def _character(piece: "regex.Match[str]") -> str:
    """A character given by its number, in a spelling that both engines support."""
    if piece["high"]:
        pair = bytes.fromhex(piece["high"] + piece["low"])
        return rf"\U{ord(pair.decode('utf-16-be')):08x}"
    if number := piece["point"] or piece["unit"]:
        return rf"\U{int(number, 16):08x}"
    if letter := piece["control"]:
        return rf"\x{ord(letter) % 32:02x}"
    return r"\x00" if piece["null"] else str(piece["slash"] or piece[0])
