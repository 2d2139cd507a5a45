"""One rule for each operator; a `Store` is always part of a `NormRopeStore` here."""

from ops.cuda.lowering.lower import Lowered, Lowering, Rules
from ops.cuda.rules import attention, elementwise, experts, norms, products
from ops.operations.base import Operation

RULES: Rules = {
    **products.RULES,
    **norms.RULES,
    **attention.RULES,
    **experts.RULES,
    **elementwise.RULES,
}


def lower(lowering: Lowering, operation: Operation) -> Lowered:
    return RULES[type(operation)](lowering, operation)
