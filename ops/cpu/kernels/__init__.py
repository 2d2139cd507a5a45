"""All kernels by name. Only this package imports Numba, and only to compile something."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

from ops.cpu.formats import (
    BF16_TERMS,
    TWO_SHAPES,
    UNPACKED,
    kernel_formats,
    quantized_formats,
)
from ops.cpu.kernels import (
    activations,
    compress,
    delta_rule,
    elementwise,
    embed,
    experts,
    limits,
    linear,
    packing,
    recurrence,
    replay,
    scan,
    streams,
    tiled,
)
from ops.cpu.kernels.attention import attend as attention
from ops.cpu.kernels.attention import cached, heads
from ops.cpu.kernels.encoding import ENCODERS
from ops.cpu.kernels.formats.panels import bf16_panel
from ops.cpu.kernels.output import largest, observing
from ops.cpu.kernels.simd import operations as simd
from ops.cpu.kernels.simd import vectors
from ops.cpu.kernels.simd.compiler import target

KERNELS: dict[str, Callable[..., None]] = {
    "add": elementwise.map_two(simd.add),
    "multiply": elementwise.map_two(simd.multiply),
    "multiply_stretches": elementwise.multiply_stretches,
    "scale_by": elementwise.scale_by,
    "columns": elementwise.columns,
    "join": elementwise.join,
    "balance": streams.balance,
    "mix": elementwise.mix,
    "gaussian_top_k": elementwise.gaussian_top_k,
    "scale": elementwise.map_one_by_number(simd.multiply),
    "clamp": elementwise.clamp,
    "softcap": elementwise.map_one_by_number(elementwise.capped),
    "quantize": activations.quantize,
    "round_to_bf16": activations.round_to_bf16,
    "rms_norm_quantize": activations.rms_norm_quantize,
    "rms_norm": elementwise.rms_norm,
    "layer_norm": elementwise.layer_norm,
    "sums": elementwise.sums,
    "squares": observing.squares,
    "expert_squares": observing.expert_squares,
    "angles": elementwise.angles,
    "rope": elementwise.rope,
    "temperature": elementwise.temperature,
    "ngram_rows": embed.ngram_rows,
    "compress": compress.compress,
    "convolve": recurrence.convolve,
    "delta_rule_head": delta_rule.delta_rule(per_row=False),
    "delta_rule_row": delta_rule.delta_rule(per_row=True),
    "shift": recurrence.shift,
    "scan_heads": scan.for_each_token(scan.scan_heads),
    "scan_channels": scan.for_each_token(scan.scan_channels),
    "linear_attention": scan.for_each_token(scan.attend_linear),
    "linear_attention_with_bonus": scan.for_each_token(scan.attend_with_bonus),
    "linear_attention_corrected": scan.for_each_token(scan.attend_corrected),
    "select_outputs": elementwise.select_outputs,
    "route": experts.route,
    "group": experts.group,
    "head_rows": experts.head_rows,
    "pack": packing.pack,
    "advise": packing.advise,
    "nothing": replay.nothing,
    "replay": replay.replay,
    "largest": largest.largest,
    "limit_read": limits.read,
    "limit_multiply": limits.multiply,
    "limit_multiply_bf16": limits.multiply_floats,
    "limit_multiply_floats": limits.multiply_floats,
}


Maker = Callable[..., Callable[..., None]]


def _products(kind: str) -> Iterator[tuple[str, Maker, Maker, Any]]:
    """Each product with weights of a format: its name, what makes it without and with matrix
    tiles, and its matrices."""
    matrices = {"{}": linear.Plain()}
    for activation, gate in vectors.GATES.items():
        matrices[f"gated_{{}}_{activation}"] = linear.Gated(gate)
    for name, each in matrices.items():
        yield name.format(f"linear_{kind}"), linear.dense, tiled.dense, each
        yield name.format(f"expert_linear_{kind}"), linear.grouped, tiled.grouped, each


BY_TILES: dict[str, Callable[[], Callable[..., None]]] = {
    "limit_multiply": lambda: limits.multiply_tiles,
    "limit_multiply_bf16": lambda: limits.multiply_bf16_tiles,
}
"""Make the kernels that a rung with matrix tiles has in place of those of the same names."""
IN_PAIRS: dict[str, Callable[[], Callable[..., None]]] = {}
"""Make the kernels that a rung with products of pairs has in place of those of the same names."""
IN_BF16: dict[str, Callable[[], Callable[..., None]]] = {
    "limit_multiply_bf16": lambda: limits.multiply_bf16,
}
"""Make the kernels that a rung with products of BF16 has in place of those of the same names."""
for _format, _module in kernel_formats().items():
    _kernels = import_module(_module).KERNELS
    _row, _product = embed.row_of(_kernels), linear.loop_of(_kernels)
    KERNELS[f"embed_{_format}"] = embed.embed(_row)
    KERNELS[f"embed_positions_{_format}"] = embed.embed_positions(_row)
    KERNELS[f"embed_rows_{_format}"] = embed.embed_rows(_row)
    for _name, _make, _make_tiled, _matrices in _products(_format):
        KERNELS[_name] = _make(*_product, _matrices)
        if _format in TWO_SHAPES:
            KERNELS[_name + UNPACKED] = _make(linear.in_parts_if_many, _kernels, _matrices)
        if _format in {*quantized_formats(), *BF16_TERMS}:
            BY_TILES[_name] = partial(_make_tiled, _kernels, _matrices)
        if _format in quantized_formats():
            IN_PAIRS[_name] = partial(_make, linear.in_pairs, _kernels, _matrices)
        if _format == "BF16":
            IN_BF16[_name] = partial(_make, linear.whole_panels, bf16_panel(), _matrices)
for _activation, _function in vectors.ACTIVATIONS.items():
    KERNELS[f"activate_{_activation}"] = elementwise.map_one(_function)
    KERNELS[f"gate_{_activation}"] = elementwise.map_two(vectors.gated(_function))
for _activation, _function in elementwise.EACH.items():
    KERNELS[f"activate_{_activation}"] = elementwise.map_each_one(_function)
    KERNELS[f"gate_{_activation}"] = elementwise.map_each_two(_function)
KERNELS["gate_clamped_swiglu"] = elementwise.map_two(vectors.clamped_swiglu)
for _keys in cached.KEYS:
    for _values in cached.VALUES:
        KERNELS[f"norm_rope_store_{_keys}_{_values}"] = heads.norm_rope_store(_keys, _values)
        KERNELS[f"attention_{_keys}_{_values}"] = attention.attention(_keys, _values)

KERNELS |= ENCODERS

ARGUMENTS = {"replay": 6}
"""How many int64 a kernel takes where it is not (operands, step, thread, threads)."""


def kernel(name: str) -> Callable[..., None]:
    """The kernel of this name for the rung that code is generated for."""
    rung = target()
    for has, own in (
        (rung.matrix_tile, BY_TILES),
        (rung.multiply_pairs, IN_PAIRS),
        (rung.dot_bf16, IN_BF16),
    ):
        if has and name in own:
            return own[name]()
    return KERNELS[name]
