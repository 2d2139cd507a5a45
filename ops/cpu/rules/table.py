"""One rule for each operator; a `Store` is always part of a `NormRopeStore` here."""

from ops.cpu.lower import Call, Lowering, Rules
from ops.cpu.rules import attention, elementwise, experts, norms, observing, products, recurrence
from ops.operations.base import Operation

RULES: Rules = {
    **products.RULES,
    **norms.RULES,
    **attention.RULES,
    **recurrence.RULES,
    **experts.RULES,
    **elementwise.RULES,
    **observing.RULES,
}


def lower(lowering: Lowering, operation: Operation) -> Call:
    return RULES[type(operation)](lowering, operation)
