"""All operators. A backend has one rule for each type that it may meet."""

from ops.operations.attention import Angles, Attention, NormRopeStore, Rotate, Store
from ops.operations.base import Operation
from ops.operations.elementwise import (
    Activate,
    Add,
    Balance,
    Clamp,
    Columns,
    Gate,
    GaussianTopK,
    Join,
    Mix,
    Multiply,
    Quantize,
    RoundToBf16,
    Scale,
    ScaleBy,
    SelectOutputs,
    Softcap,
    Sums,
    Temperature,
)
from ops.operations.experts import ExpertSum, Group, Route
from ops.operations.norms import LayerNorm, RmsNorm, RmsNormQuantize
from ops.operations.observing import Squares
from ops.operations.products import (
    Embed,
    ExpertProduct,
    HeadProduct,
    HeadRows,
    JoinedProducts,
    Product,
)
from ops.operations.recurrence import (
    Compress,
    Convolve,
    DeltaRule,
    LinearAttention,
    NgramRows,
    SelectiveScan,
    Shift,
)

RECORDED: tuple[type[Operation], ...] = (
    Activate,
    Add,
    Attention,
    Balance,
    Clamp,
    Columns,
    Compress,
    Convolve,
    DeltaRule,
    Embed,
    ExpertProduct,
    ExpertSum,
    Gate,
    GaussianTopK,
    HeadProduct,
    Join,
    LayerNorm,
    LinearAttention,
    Mix,
    Multiply,
    NgramRows,
    Product,
    RmsNorm,
    Rotate,
    Route,
    Scale,
    ScaleBy,
    SelectOutputs,
    SelectiveScan,
    Shift,
    Softcap,
    Store,
    Sums,
    Temperature,
)
"""What a model writes down."""

FUSED: tuple[type[Operation], ...] = (
    Quantize,
    RoundToBf16,
    RmsNormQuantize,
    Angles,
    NormRopeStore,
    Group,
    HeadRows,
    JoinedProducts,
    Squares,
)
"""What rewriting a recording makes of it (ops.fusion, ops.cuda.lowering.merging, ops.observing)."""
