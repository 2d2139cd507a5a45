"""The formats of JSON schemas: by which texts and numbers generation follows them."""

from jsonschema import FormatChecker

FOLLOWED = """date-time time date duration email hostname ipv4 ipv6 uuid uri"""
FORMATS = frozenset(FOLLOWED.split())  # by patterns of the engine's own
BASE64 = "(?:[{0}]{{4}})*(?:[{0}]{{2}}==|[{0}]{{3}}=)?"
TEXT_PATTERNS = {
    "byte": f"^{BASE64.format('A-Za-z0-9+/')}$",
    "base64": f"^{BASE64.format('A-Za-z0-9+/')}$",
    "base64url": "^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)?$",
}
LARGEST = 10**15 - 1  # that a 64-bit float holds with each digit
INTEGERS = {
    f"{sign}int{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits if sign else bits - 1) - 1)
    for bits in (8, 16, 32)
    for sign in ("", "u")
} | {"int64": (-LARGEST, LARGEST), "uint64": (0, LARGEST)}
"""What a whole number of that format lies between; those of 64 bits are kept shorter."""

ANYTHING = """float double decimal password binary path file-path directory-path"""
FREE = frozenset(ANYTHING.split())  # which any number or text has


def checkable_formats() -> frozenset[str]:
    """Those that generation does not follow, but a check of answers can tell."""
    return frozenset(FormatChecker.checkers) - FORMATS
