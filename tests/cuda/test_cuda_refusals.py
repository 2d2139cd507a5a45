"""A card runs a model as a whole, or names the operator and the layer that it does not know."""

import re

import numpy as np
import pytest
from make_gguf import write_model
from presets_gguf import PRESETS
from test_operators import weight

from lepton_cli.engine.loading import plan as loading
from ops.cuda.cache import CardStateLayout
from ops.cuda.kernels import KERNELS
from ops.cuda.lowering.lower import Lowering
from ops.cuda.lowering.placing import Placing
from ops.cuda.rules.refusals import refusal
from ops.cuda.rules.table import lower
from ops.cuda.runner import fused_for_card
from ops.interface import DeltaHeads, Heads, Linear, Operators, Rope, Routing
from ops.operations.registry import RECORDED
from ops.program import Program
from ops.recorder import record
from quant.gguf import GGUF

RUN = {"bailingmoe2", "cohere2", "command-r", "exaone4", "gemma4-moe", "glm4", "glm4moe", "granite"}
RUN |= {"hunyuan-dense", "llama", "olmo2", "qwen2moe", "qwen3moe", "qwen3vl", "smallthinker"}
RUN |= {"chatglm", "deci", "falcon", "gemma2", "gemma3", "gpt-oss", "gpt2", "gptneox", "phi3"}
KINDS = "|".join(kind.__name__ for kind in RECORDED)
PLACE = r"\((layer \d+|outside the layers)\)"
NAMED = rf"cards do not run .*({KINDS}|layers that read) .*yet {PLACE}"


def kernels_of(program: Program) -> set[str]:
    """Of all its operators; nothing is uploaded."""
    fused = fused_for_card(program)
    lowering = Lowering(Placing(None), CardStateLayout.of(fused))
    return {name for op in fused.operations for name in lower(lowering, op).kernels}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_model_has_all_its_kernels_or_is_refused_by_operator_and_layer(tmp_path, preset):
    file = GGUF.open(write_model(tmp_path / "model.gguf", preset))
    program = loading.build(file, loading.trained_context(file))
    reason = refusal(program)
    assert reason is None or preset not in RUN
    if reason is None:
        assert kernels_of(program) <= KERNELS.keys()
    else:
        assert re.fullmatch(NAMED, reason), reason


def attended(width: int, values: int | None = None, **more):
    """Attention of one head; `values` is their width."""
    heads = Heads(3, 1, 1, width, 1.0, value_width=values, **more)

    def forward(ops: Operators):
        x, layer = ops.embed(weight(4, 8)), ops.layer(3)
        widths = width, heads.key_columns, heads.values
        q, k, v = (layer.linear(Linear(weight(each, 8)), x) for each in widths)
        return layer.attention(q, k, v, heads)

    return forward


def with_biases(ops: Operators):
    x = ops.embed(weight(4, 8))
    return ops.layer(3).attention(x, x, x, Heads(3, 1, 1, 8, 1.0), biases=weight(1, 5))


def at_wanted_rows(ops: Operators):
    rope, x = Rope(np.ones(2, np.float32), 4, False), ops.embed(weight(4, 8))
    return ops.layer(3).rope(ops.select_outputs(x), rope)


def over_layers(ops: Operators):
    x = ops.embed(weight(4, 8))
    y = ops.layer(1).add(x, x)
    return ops.layer(3).add(ops.layer(2).add(y, y), x)


def by_delta_rule(ops: Operators):
    x, rate = ops.embed(weight(4, 8)), ops.embed(weight(4, 1))
    return ops.layer(3).delta_rule(x, x, x, rate, rate, DeltaHeads(1, 1, 8, 8, 1.0))


def on_rows(call):
    """A call with an operator set and rows of 8."""
    return lambda ops: call(ops.layer(3), ops.embed(weight(4, 8)))


REFUSED = {
    "the activation unheard": on_rows(lambda ops, x: ops.activate(x, "unheard")),
    "the gate unheard": on_rows(lambda ops, x: ops.gate(x, x, "unheard")),
    "the gating unheard": on_rows(lambda ops, x: ops.route(x, Routing(8, 2, "unheard")).weights),
    "Route with neighbours that stand for one expert": on_rows(
        lambda ops, x: ops.route(x, Routing(8, 2, neighbours=2)).weights
    ),
    "Route with listed experts": on_rows(
        lambda ops, x: ops.route(x, Routing(8, 2), listed=ops.columns(x, 0, 2)).weights
    ),
    "Rotate with positions that do not count from 0": on_rows(
        lambda ops, x: ops.rope(x, Rope(np.ones(2, np.float32), 4, False, start=3))
    ),
    "Attention with heads of width 512, more than 256": attended(512),
    "Attention with heads of the odd width 63": attended(63),
    "Attention with keys of width 24 and values of width 16": attended(24, 16),
    "Attention with keys that hold their values": attended(24, 16, keys_hold_values=True),
    "Attention with biases by distance (ALiBi)": attended(16, slopes=(0.5,)),
    "Attention with tokens that see those behind them": attended(16, sees="run"),
    "Attention with keys of a prompt that an encoder read": attended(16, sees="prompt"),
    "Attention with biases by distance": with_biases,
    "Attention with chunks in place of a window": attended(16, window=8, chunked=True),
    "the operator HeadProduct (latent attention)": on_rows(
        lambda ops, x: ops.head_linear(Linear(weight(2, 4, experts=2)), x)
    ),
    "the recurrent operator Shift": on_rows(lambda ops, x: ops.shift(x)),
    "the recurrent operator DeltaRule": by_delta_rule,
    "the operator Sums": on_rows(lambda ops, x: ops.sums(x, 4)),
    "the operator Rotate for the wanted rows alone": at_wanted_rows,
    "layers that read what several layers before them made": over_layers,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_card_names_what_it_does_not_run(reason):
    told = refusal(record(REFUSED[reason])) or ""
    assert told.startswith(f"cards do not run {reason} yet (layer ")


def test_a_layer_that_reads_the_keys_of_another_is_refused():
    heads = Heads(0, 1, 1, 8, 1.0)

    def forward(ops: Operators):
        x = ops.embed(weight(4, 8))
        x = ops.layer(0).attention(x, x, x, heads)
        return ops.layer(1).attention(x, None, None, heads)

    assert "(layer 1)" in (refusal(record(forward)) or "")


def test_the_widest_heads_are_run():
    assert refusal(record(attended(256))) is None
