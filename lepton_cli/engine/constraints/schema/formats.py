"""The formats of JSON schemas, and the texts and numbers that generation uses for them."""

from jsonschema import FormatChecker

FOLLOWED = """date-time time date duration email hostname ipv4 ipv6 uuid uri"""
FORMATS = frozenset(FOLLOWED.split())  # enforced by the engine's own patterns
BASE64 = "(?:[{0}]{{4}})*(?:[{0}]{{2}}==|[{0}]{{3}}=)?"
TEXT_PATTERNS = {
    "byte": f"^{BASE64.format('A-Za-z0-9+/')}$",
    "base64": f"^{BASE64.format('A-Za-z0-9+/')}$",
    "base64url": "^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)?$",
}
LARGEST = 10**15 - 1  # all digits fit into a 64-bit float
INTEGERS = {
    f"{sign}int{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits if sign else bits - 1) - 1)
    for bits in (8, 16, 32)
    for sign in ("", "u")
} | {"int64": (-LARGEST, LARGEST), "uint64": (0, LARGEST)}
"""The range of integer formats; 64-bit ones are limited to exact floats."""

ANYTHING = """float double decimal password binary path file-path directory-path"""
FREE = frozenset(ANYTHING.split())  # satisfied by any number or text


def checkable_formats() -> frozenset[str]:
    """The formats that are not enforced, but can be checked in answers."""
    return frozenset(FormatChecker.checkers) - FORMATS
