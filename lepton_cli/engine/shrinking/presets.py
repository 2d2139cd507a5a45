"""The file types that llama-quantize knows by name, and the format that most tensors get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lepton_cli.engine.library.suggestions import did_you_mean
from quant.errors import UsageError
from quant.format import FORMATS, Format


@dataclass(frozen=True, slots=True)
class Preset:
    """`id` is the file's `general.file_type`; `base` the format of tensors without a rule."""

    name: str
    id: int
    base: str

    @property
    def format(self) -> Format:
        return FORMATS[self.base]


_TABLE = (
    Preset("F32", 0, "F32"),
    Preset("F16", 1, "F16"),
    Preset("BF16", 32, "BF16"),
    Preset("Q8_0", 7, "Q8_0"),
    Preset("Q6_K", 18, "Q6_K"),
    Preset("Q5_K_M", 17, "Q5_K"),
    Preset("Q5_K_S", 16, "Q5_K"),
    Preset("Q5_1", 9, "Q5_1"),
    Preset("Q5_0", 8, "Q5_0"),
    Preset("Q4_K_M", 15, "Q4_K"),
    Preset("Q4_K_S", 14, "Q4_K"),
    Preset("Q4_1", 3, "Q4_1"),
    Preset("Q4_0", 2, "Q4_0"),
    Preset("IQ4_NL", 25, "IQ4_NL"),
    Preset("IQ4_XS", 30, "IQ4_XS"),
    Preset("MXFP4_MOE", 38, "MXFP4"),
    Preset("Q3_K_L", 13, "Q3_K"),
    Preset("Q3_K_M", 12, "Q3_K"),
    Preset("Q3_K_S", 11, "Q3_K"),
    Preset("IQ3_M", 27, "IQ3_S"),
    Preset("IQ3_S", 26, "IQ3_S"),
    Preset("IQ3_XS", 22, "IQ3_S"),
    Preset("IQ3_XXS", 23, "IQ3_XXS"),
    Preset("Q2_K", 10, "Q2_K"),
    Preset("Q2_K_S", 21, "Q2_K"),
    Preset("IQ2_M", 29, "IQ2_S"),
    Preset("IQ2_S", 28, "IQ2_XS"),
    Preset("IQ2_XS", 20, "IQ2_XS"),
    Preset("IQ2_XXS", 19, "IQ2_XXS"),
    Preset("TQ2_0", 37, "TQ2_0"),
    Preset("Q2_0", 41, "Q2_0"),
    Preset("IQ1_M", 31, "IQ1_M"),
    Preset("TQ1_0", 36, "TQ1_0"),
    Preset("IQ1_S", 24, "IQ1_S"),
    Preset("Q1_0", 40, "Q1_0"),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _TABLE})
"""The largest first."""
ALIASES = MappingProxyType({"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"})


def preset_of(word: str) -> Preset:
    """By its name, in any case, or its number. Raises UsageError."""
    found = _found(word)
    if found is None:
        hint = _hint(word.upper(), [*PRESETS, *ALIASES], "types")
        raise UsageError(f"there is no type {word}", hint)
    return found


def is_type(word: str) -> bool:
    """Whether `preset_of` knows it."""
    return _found(word) is not None


def _found(word: str) -> Preset | None:
    name = word.upper()
    by_number = {str(preset.id): preset for preset in _TABLE}
    return PRESETS.get(ALIASES.get(name, name)) or by_number.get(word)


def format_of(word: str, option: str) -> Format:
    """A tensor's format, in any case. Raises UsageError."""
    names = [kind.name for kind in FORMATS.values() if kind.dequantize]
    name = word.upper()
    if name not in names:
        message = f"{option}: there is no format {word}"
        raise UsageError(message, _hint(name, names, "formats"))
    return FORMATS[name]


def _hint(word: str, names: Sequence[str], what: str) -> str:
    """The names like the word (also without its separators), or all."""
    whole = [name for name in names if _letters(name) == _letters(word)]
    return did_you_mean(whole[0] if whole else word, names) or f"{what}: {', '.join(names)}"


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name))
