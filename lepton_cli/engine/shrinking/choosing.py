"""Which tensor gets which format: llama-quantize's rules for its file types.

They depend on a tensor's name, on its layer, and on the tensors of its category before it. Another
chooser has the same signature: tensors in, a format for each out.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lepton_cli.engine.files.blocks import split_name
from lepton_cli.engine.shrinking.presets import Preset, format_of
from ops.encoding.encoder import NEEDING_IMPORTANCE
from quant.errors import UsageError
from quant.format import FORMATS, Format
from quant.gguf import Tensor

Chooser = Callable[[Sequence[Tensor]], Mapping[str, Format]]

NEVER = (
    *("_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid", "altup", "laurel"),
    *("per_layer_model_proj", "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj"),
    *("indexer.q_proj", "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight"),
    *("time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight"),
    *("time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight"),
    *("time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight"),
    *("time_mix_lerp_fused.weight", "attn_rel_b.weight", "position_embd", "token_types"),
    *(".position_embd", ".patch_embd", ".patch_embedding", "v.patch_embd", "v.position_embd"),
)
"""Tensors with these in their names are small, or need all their bits."""

CATEGORIES = (
    *("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight", "attn_k.weight", "attn_q.weight"),
    *("attn_output.weight", "ffn_up", "ffn_gate", "ffn_down"),
)
VALUES = ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight")
TINY = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
FALLBACKS = {
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0", "Q2_0"), "Q4_0"),
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S"), "IQ4_NL"),
    **dict.fromkeys(("IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
"""For rows that do not fill whole blocks."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at besides the tensors. `gqa`: query heads for each of keys."""

    architecture: str
    layers: int
    gqa: int
    experts: int
    has_importance: bool

    @property
    def is_70b(self) -> bool:
        return (
            self.architecture in ("llama", "deci", "qwen2") and self.layers == 80 and self.gqa > 1
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked for besides the file type. `tensors`: regular expressions, in order."""

    output: Format | None = None
    embedding: Format | None = None
    tensors: Sequence[tuple[str, Format]] = field(default_factory=tuple)
    pure: bool = False
    leave_output: bool = False


def is_quantized(tensor: Tensor) -> bool:
    """Whether the file types have a say in the tensor's format."""
    if not tensor.name.endswith("weight") or sum(size > 1 for size in tensor.shape) < 1:
        return False
    dimensions = len(tensor.shape)
    while dimensions > 1 and tensor.shape[len(tensor.shape) - dimensions] == 1:
        dimensions -= 1
    return dimensions >= 2 and not any(part in tensor.name for part in NEVER)


def by_preset(preset: Preset, facts: Facts, wishes: Wishes) -> Chooser:
    """The chooser of llama-quantize. It raises UsageError for a wish that cannot be."""

    def choose(tensors: Sequence[Tensor]) -> dict[str, Format]:
        return _Choice(preset, facts, wishes, tensors).formats()

    return choose


def in_visiting_order(tensors: Sequence[Tensor]) -> list[Tensor]:
    """By layer and name, as the rules count them and files are written; others come first."""
    return sorted(tensors, key=lambda tensor: (_layer_of(tensor.name), tensor.name.encode()))


def _layer_of(name: str) -> int:
    """-1: of none."""
    layer, _ = split_name(name)
    return -1 if layer is None else layer


class _Choice:
    """One pass over the tensors of a file."""

    def __init__(
        self, preset: Preset, facts: Facts, wishes: Wishes, tensors: Sequence[Tensor]
    ) -> None:
        self._preset, self._facts, self._wishes = preset, facts, wishes
        self._tensors = in_visiting_order(tensors)
        for pattern, _ in wishes.tensors:
            if not any(re.search(pattern, tensor.name) for tensor in tensors):
                message = f"--tensor-type: no tensor's name matches {pattern!r}"
                raise UsageError(message, "lepton inspect MODEL --tensors lists the names")
        self._seen = Counter[str]()
        names = {tensor.name for tensor in tensors}
        self._has_output = "output.weight" in names
        self._values = sum(_category(name) in VALUES for name in names)

    def formats(self) -> dict[str, Format]:
        return {
            tensor.name: self._format(tensor)
            for tensor in self._tensors
            if is_quantized(tensor)
            and not (self._wishes.leave_output and tensor.name == "output.weight")
        }

    def _format(self, tensor: Tensor) -> Format:
        """A tensor with a wish is not counted among those of its category."""
        wished, base = self._wished(tensor), self._preset.format
        if wished is None and (self._wishes.pure or base.block_size == 1):
            wished = base
        return _fitting(tensor, wished or FORMATS[self._by_rules(tensor)])

    def _wished(self, tensor: Tensor) -> Format | None:
        if tensor.name == "token_embd.weight" and self._wishes.embedding:
            return self._wishes.embedding
        if tensor.name == "output.weight" and self._wishes.output:
            return self._wishes.output
        for pattern, kind in self._wishes.tensors:
            if re.search(pattern, tensor.name):
                return kind
        return None

    def _by_rules(self, tensor: Tensor) -> str:
        name, base, preset = tensor.name, self._preset.base, self._preset.name
        category = _category(name)
        embeds = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (embeds and not self._has_output):
            return self._output(tensor)
        if preset == "MXFP4_MOE":
            return "MXFP4" if len(tensor.shape) > 2 and tensor.shape[-3] > 1 else "Q8_0"
        if embeds:
            return self._embedding()
        kind = self._tiny(category) if preset in TINY else self._larger(category, name)
        self._seen["values" if category in VALUES else category] += 1
        return kind or base

    def _output(self, tensor: Tensor) -> str:
        preset, base = self._preset.name, self._preset.format
        if preset == "MXFP4_MOE" or self._facts.architecture == "falcon":
            return "Q8_0"
        if tensor.shape[-1] % base.block_size:
            return "Q8_0"
        if preset in TINY or preset == "IQ3_XXS":
            return "Q5_K"
        return "Q8_0" if base.name == "Q8_0" else "Q6_K"

    def _embedding(self) -> str:
        match self._preset.name:
            case "IQ2_XXS" | "IQ2_XS" | "IQ1_S" | "IQ1_M":
                return "Q2_K"
            case "IQ2_S" | "IQ2_M" | "IQ3_XXS":
                return "IQ3_S"
            case "TQ1_0" | "TQ2_0" | "Q2_0":
                return "Q4_K"
        return self._preset.base

    def _tiny(self, category: str) -> str:
        """For the file types of one and two bits."""
        facts, middle = self._facts, self._preset.name in ("IQ2_S", "IQ2_M")
        better = "IQ3_S" if middle else "Q2_K"
        if category in VALUES:
            return "Q4_K" if facts.gqa >= 4 or facts.experts >= 4 else better
        if category == "attn_k.weight" and facts.experts == 8:
            return "Q4_K"
        if category == "ffn_down" and self._seen[category] < facts.layers // 8:
            return better
        if category == "attn_output.weight":
            if facts.experts == 8:
                return "Q5_K"
            if middle:
                return "IQ3_S"
            return "IQ2_XXS" if self._preset.name in ("IQ1_S", "IQ1_M") else ""
        return ""

    def _larger(self, category: str, name: str) -> str:
        match category:
            case "attn_qkv.weight" | "attn_kv_b.weight" | "attn_v.weight":
                return self._value(self._seen["values"])
            case "attn_k.weight" | "attn_q.weight":
                if category == "attn_k.weight" and self._facts.experts == 8:
                    return "Q8_0"
                return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self._preset.name, "")
            case "ffn_down":
                return self._down(self._layer(category, name))
            case "attn_output.weight":
                return self._attention_output()
            case "ffn_gate" | "ffn_up" if self._preset.name == "IQ3_XS":
                layer, eighth = self._layer(category, name), self._facts.layers // 8
                return "IQ3_XXS" if eighth <= layer < 7 * self._facts.layers // 8 else ""
        return ""

    def _layer(self, category: str, name: str) -> int:
        """Counted, but for experts, whose tensors need not be in order."""
        return _layer_of(name) if self._facts.experts > 1 else self._seen[category]

    def _value(self, number: int) -> str:
        facts, many = self._facts, self._facts.gqa >= 4
        kind = self._preset.base
        match self._preset.name:
            case "Q2_K":
                kind = "Q4_K" if many else "Q3_K"
            case "IQ3_XXS":
                kind = "Q4_K" if many else "IQ3_XXS" if facts.has_importance else "IQ3_S"
            case "Q2_K_S" | "IQ3_XS" | "IQ3_S" if many:
                kind = "Q4_K"
            case "IQ3_M":
                kind = "Q4_K"
            case "Q3_K_M":
                kind = "Q5_K" if number < 2 else "Q4_K"
            case "Q3_K_L":
                kind = "Q5_K"
            case "IQ4_NL" | "IQ4_XS" if many:
                kind = "Q5_K"
            case "Q4_K_M" | "Q5_K_M" if _more_bits(number, self._values):
                kind = "Q6_K"
            case "Q4_K_S" if number < 4:
                kind = "Q5_K"
        if facts.is_70b and kind in ("Q3_K", "Q4_K"):
            kind = "Q5_K"  # few values serve many heads there
        return "Q8_0" if facts.experts == 8 else kind

    def _down(self, layer: int) -> str:
        facts = self._facts
        early, more = layer < facts.layers // 8, _more_bits(layer, facts.layers)
        falcon = facts.architecture == "falcon"
        match self._preset.name:
            case "Q2_K":
                return "Q3_K"
            case "Q2_K_S":
                return "Q4_K" if early else ""
            case "IQ3_XXS" if not facts.has_importance:
                return "Q4_K" if early else "Q3_K"
            case "Q3_K_M":
                if layer < facts.layers // 16:
                    return "Q5_K"
                return "Q4_K" if more or not falcon else "Q3_K"
            case "IQ3_M":
                return "Q4_K" if early or (facts.experts == 8 and more) else ""
            case "Q3_K_L":
                return "Q4_K" if falcon else "Q5_K"
            case "Q4_K_M" if falcon:
                return "Q6_K" if layer < facts.layers // 16 else "Q5_K" if more else "Q4_K"
            case "Q4_K_M" | "Q5_K_M":
                return "Q6_K" if more else ""
            case "IQ4_NL" | "IQ4_XS" if early and not facts.has_importance:
                return "Q5_K"
            case "Q4_K_S" if early and not falcon:
                return "Q5_K"
            case "Q4_0" | "Q5_0" if early and facts.has_importance:
                return self._preset.name.replace("_0", "_1")
        return ""

    def _attention_output(self) -> str:
        preset = self._preset.name
        if self._facts.architecture == "falcon":
            return "Q4_K" if preset == "Q3_K_L" else ""
        if self._facts.experts == 8:
            raised = preset.startswith(("IQ3_", "IQ4_", "Q4_K_"))
            return "Q5_K" if raised or preset in ("Q2_K", "Q3_K_S", "Q3_K_M") else ""
        own = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}
        return {**own, "IQ3_M": "Q4_K"}.get(preset, "")


def _category(name: str) -> str:
    return next((category for category in CATEGORIES if category in name), "")


def _more_bits(number: int, count: int) -> bool:
    """The first and the last eighth, and every third between."""
    return number < count // 8 or number >= 7 * count // 8 or (number - count // 8) % 3 == 2


def _fitting(tensor: Tensor, kind: Format) -> Format:
    """The format, or one that has blocks as short as the tensor's rows need."""
    if tensor.shape[-1] % kind.block_size == 0:
        return kind
    other = FORMATS[FALLBACKS.get(kind.name, "F16")]
    return other if tensor.shape[-1] % other.block_size == 0 else FORMATS["F16"]


def needs_importance(name: str, kind: Format, preset: Preset) -> bool:
    """Whether the format is useless without importance, in this tensor."""
    if name in ("output.weight", "token_embd.weight", "per_layer_token_embd.weight"):
        return False
    if kind.name == "Q2_K":
        return preset.name == "Q2_K_S"
    return kind.name in NEEDING_IMPORTANCE


def wish_of(text: str) -> tuple[str, Format]:
    """NAME=TYPE, where NAME is a regular expression. Raises UsageError."""
    pattern, equals, word = text.rpartition("=")
    if not (pattern and equals and word):
        raise UsageError(
            f"--tensor-type {text}: not NAME=TYPE", "for example: --tensor-type ffn_down=q6_k"
        )
    return wish(pattern, word, "--tensor-type")


def wish(pattern: str, kind: str, option: str) -> tuple[str, Format]:
    """Of a regular expression and a type. Raises UsageError, naming the option."""
    try:
        re.compile(pattern)
    except re.error as error:
        message = f"{option} {pattern}={kind}: {pattern} is no regular expression: {error}"
        raise UsageError(message, r"write a dot as \.") from error
    return pattern.lower(), format_of(kind, option)
