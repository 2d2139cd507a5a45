"""All kernels by name. Nothing here imports a compiler (see ops.cuda.compile.ptx)."""

from ops.cuda.kernels import activations, draw, elementwise, embed, experts, largest
from ops.cuda.kernels.attention import attend as attention
from ops.cuda.kernels.attention import heads
from ops.cuda.kernels.formats import packing
from ops.cuda.kernels.formats.weights import PANELS
from ops.cuda.kernels.intrinsics import functions
from ops.cuda.kernels.intrinsics.arithmetic import plus, times
from ops.cuda.kernels.intrinsics.kernel import Kernel
from ops.cuda.kernels.products import floats, packed

KERNELS: dict[str, Kernel] = {
    "add": elementwise.map_two(plus),
    "multiply": elementwise.map_two(times),
    "multiply_stretches": elementwise.scale_stretches,
    "scale_by": elementwise.scale_stretches,
    "columns": elementwise.copy_columns,
    "join": elementwise.copy_columns,
    "scale": elementwise.map_one_by_number(times),
    "clamp": elementwise.clamp,
    "softcap": elementwise.map_one_by_number(elementwise.capped),
    "rms_norm": elementwise.rms_norm,
    "layer_norm": elementwise.layer_norm,
    "angles": elementwise.angles,
    "rope": elementwise.rope,
    "temperature": elementwise.temperature,
    "select_outputs": elementwise.select_outputs,
    "quantize": activations.quantize,
    "rms_norm_quantize": activations.rms_norm_quantize,
    "largest": largest.largest,
    "draw": draw.draw,
    "route": experts.route,
    "group": experts.group,
    "expert_sum": experts.expert_sum,
    "linear_F16_8": floats.few_halves(second=False),
    "gated_linear_F16_8": floats.few_halves(second=True),
    "linear_F16_many": floats.many_halves(),
    "linear_F32": floats.singles,
    "embed_F16": embed.half_rows,
    "embed_F32": embed.single_rows,
}
for _activation, _function in functions.ACTIVATIONS.items():
    KERNELS[f"activate_{_activation}"] = elementwise.map_one(_function)
    KERNELS[f"gate_{_activation}"] = elementwise.map_two(functions.gated(_function))
KERNELS["gate_clamped_swiglu"] = elementwise.map_two(functions.gate_clamped_swiglu)
for _format, _panels in PANELS.items():
    for _columns in packed.COLUMNS:
        KERNELS[f"linear_{_format}_{_columns}"] = packed.few(_panels, _columns, second=False)
        KERNELS[f"gated_linear_{_format}_{_columns}"] = packed.few(_panels, _columns, second=True)
    KERNELS[f"linear_{_format}_many"] = packed.many(_panels)
    KERNELS[f"embed_{_format}"] = embed.panel_rows(_panels)
for _format, _pack in packing.PACKING.items():
    KERNELS[f"pack_{_format}"] = _pack
KERNELS |= heads.KERNELS | attention.KERNELS
