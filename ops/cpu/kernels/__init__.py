"""Every kernel by name. Only here is numba imported, and only when something must be compiled."""

from collections.abc import Callable

from ops.cpu.kernels import attention, elementwise, experts, linear, replay

KERNELS: dict[str, Callable[..., None]] = {
    "add": elementwise.map_two(elementwise.plus),
    "activate_silu": elementwise.map_one(elementwise.silu),
    "activate_gelu": elementwise.map_one(elementwise.gelu),
    "gate_silu": elementwise.map_two(elementwise.gated_silu),
    "gate_gelu": elementwise.map_two(elementwise.gated_gelu),
    "gate_clamped_swiglu": elementwise.map_two(elementwise.clamped_swiglu),
    "scale": elementwise.scale,
    "softcap": elementwise.softcap,
    "rms_norm": elementwise.rms_norm,
    "layer_norm": elementwise.layer_norm,
    "rope": elementwise.rope,
    "temperature": elementwise.temperature,
    "select_outputs": elementwise.select_outputs,
    "route": experts.route,
    "expert_sum": experts.expert_sum,
    "replay": replay.replay,
}
for _format, _row in linear.ROWS.items():
    KERNELS[f"linear_{_format}"] = linear.linear(_row)
    KERNELS[f"expert_linear_{_format}"] = linear.expert_linear(_row)
    KERNELS[f"embed_{_format}"] = linear.embed(_row)
    KERNELS[f"embed_positions_{_format}"] = linear.embed_positions(_row)
for _type, (_get, _put, _size) in attention.CACHE_TYPES.items():
    KERNELS[f"store_{_type}"] = attention.store(_put, _size)
    KERNELS[f"attention_{_type}"] = attention.attention(_get, _size)

ARGUMENTS = {"replay": 6}
"""How many int64 a kernel takes: (operands, step, thread, threads), except these."""
