"""How many layers go onto a card: arithmetic on bytes, without a card."""

from dataclasses import replace

import pytest
from make_gguf import write_model

from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.placement import (
    RESERVE,
    Placement,
    most_context,
    most_layers,
    place,
    too_large,
)
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loading.prepare import needs_here
from lepton_cli.models.weights import Weights
from ops.backend import CardBackend, Resources
from ops.cuda.lowering.placing import matrix_bytes
from ops.machine import MemoryLimit
from ops.memory_plan import Limits
from ops.needs import Needs
from quant.errors import OutOfMemoryError, UsageError
from quant.gguf import GGUF

MB = 1_000_000
NEEDS = Needs(  # 256 positions of a layer take 1.024 MB
    layers=(100 * MB,) * 32, positions=(4000,) * 32, head=300 * MB, embedding=200 * MB, buffers=0
)
BLOCKS_OF_4096 = 16 * 1_024_000  # of a layer


def room(count: int, context: int, needs: Needs = NEEDS) -> int:
    """Free bytes that hold just so much."""
    return needs.total(count, context) + RESERVE


def test_everything_fits_into_a_large_card():
    placed = place(NEEDS, "auto", 4096, 8192, 24_000 * MB)
    assert placed == Placement(32, 32, (3200 + 500) * MB + 32 * BLOCKS_OF_4096, 4096)
    assert placed.whole and placed.cpu_layers == 0


@pytest.mark.parametrize("count", [1, 2, 21, 31, 32])
def test_as_many_layers_as_fit_to_the_byte(count):
    assert place(NEEDS, "auto", 4096, 4096, room(count, 4096)).layers_on_gpu == count
    fewer = place(NEEDS, "auto", 4096, 4096, room(count, 4096) - 1)
    assert fewer.layers_on_gpu == count - 1
    assert fewer.gpu_bytes == NEEDS.total(count - 1, 4096)


def test_a_part_leaves_the_embedding_on_the_cpu():
    assert NEEDS.weights(31) == 3100 * MB + NEEDS.head
    assert NEEDS.weights(32) == 3200 * MB + NEEDS.head + NEEDS.embedding


def test_the_last_layers_are_the_ones_that_are_counted():
    needs = replace(NEEDS, layers=tuple(MB * n for n in range(32)), positions=(0,) * 31 + (8,))
    assert needs.weights(2) == 61 * MB + needs.head
    assert needs.cache(2, 256) == 8 * 256


def test_the_whole_context_counts_in_blocks():
    assert NEEDS.cache(1, 1) == NEEDS.cache(1, 256) == 1_024_000
    assert NEEDS.cache(1, 257) == 2 * 1_024_000


def test_an_empty_card_takes_nothing_and_needs_nothing():
    placed = place(NEEDS, "auto", 4096, 4096, RESERVE)
    assert (placed.layers_on_gpu, placed.gpu_bytes) == (0, 0)


def test_a_number_beyond_the_layers_is_all_of_them():
    assert place(NEEDS, 99, 4096, 4096, 24_000 * MB).layers_on_gpu == 32


def test_fewer_layers_than_fit_may_be_asked_for():
    placed = place(NEEDS, 5, 4096, 4096, 24_000 * MB)
    assert (placed.layers_on_gpu, placed.cpu_layers) == (5, 27)


# --- the context that nobody asked for


@pytest.mark.parametrize("wanted", ["auto", "all", 32])
def test_the_context_shrinks_to_have_all_on_the_card(wanted):
    placed = place(NEEDS, wanted, None, 131072, room(32, 5000))
    assert (placed.layers_on_gpu, placed.context) == (32, 5120)
    assert placed.note == "context 5120 of 131072: limited by the GPU's memory"
    assert placed.gpu_bytes == NEEDS.total(32, 5120)


def test_the_context_does_not_shrink_below_4096():
    placed = place(NEEDS, "auto", None, 16384, room(32, 3840))
    assert placed.context == 4096 and placed.note.startswith(
        "context 4096 of 16384: leaves more layers on the GPU"
    )
    assert most_layers(NEEDS, 16384, room(32, 3840)) < placed.layers_on_gpu < 32
    with pytest.raises(OutOfMemoryError):  # who asks for all gets no less
        place(NEEDS, "all", None, 16384, room(32, 3840))


def test_the_trained_context_stays_where_it_fits():
    placed = place(NEEDS, "auto", None, 2048, room(32, 2048))
    assert (placed.layers_on_gpu, placed.context, placed.note) == (32, 2048, None)


def test_a_context_that_was_asked_for_does_not_shrink():
    placed = place(NEEDS, "auto", 8192, 131072, room(32, 4096))
    assert placed.context == 8192
    assert placed.layers_on_gpu == most_layers(NEEDS, 8192, room(32, 4096)) < 32


# --- what does not fit


@pytest.mark.parametrize("wanted", ["all", 32, 99])
def test_what_does_not_fit_is_reported_with_the_most_that_would(wanted):
    free = room(32, 4096) - 1
    with pytest.raises(OutOfMemoryError) as caught:
        place(NEEDS, wanted, 4096, 131072, free)
    error = caught.value
    assert error.exit_code == 5
    for part in ("32 of 32 layers", "weights 3.70 GB", "cache 524.3 MB for 4096 tokens"):
        assert part in error.message
    assert f"{free / 1e9:.2f} GB are free" in error.message
    assert error.hint == "use -ngl 31 or less or -c 3840 or less"


@pytest.mark.parametrize("wanted", ["all", 32])
def test_what_the_hint_says_does_fit(wanted):
    for free in (room(20, 8192), room(32, 300), room(31, 8192)):
        with pytest.raises(OutOfMemoryError):
            place(NEEDS, wanted, 8192, 8192, free)
        layers, context = most_layers(NEEDS, 8192, free), most_context(NEEDS, 32, free, 8192)
        assert place(NEEDS, layers, 8192, 8192, free).layers_on_gpu == layers
        assert not context or place(NEEDS, wanted, context, 8192, free).layers_on_gpu == 32


def test_where_not_one_layer_fits_the_hint_is_the_cpu():
    error = too_large(NEEDS, 1, 4096, RESERVE)
    assert error.message.startswith("1 of 32 layers on the GPU need")
    assert error.hint == "use --backend cpu"


def test_a_shorter_context_may_be_the_only_way():
    assert too_large(NEEDS, 1, 1 << 20, room(1, 512)).hint == "use -c 512 or less"


# --- a file's tensors


@pytest.fixture
def file(tmp_path) -> GGUF:
    return GGUF.open(write_model(tmp_path / "m.gguf", weights="Q8_0"))


def needs_of(file: GGUF) -> Needs:
    program = loading.build(file, 512)
    return CardBackend(None, ("f16", "f16"), None).needs(program, Limits(256, 32))


def on_card(file: GGUF) -> int:
    """All tensors: matrices as the card keeps them, vectors as float32."""
    total = 0
    for name, tensor in file.tensors.items():
        matrix = name.endswith(".weight") and len(tensor.shape) > 1
        weight = Weights(file).weight(name)
        total += weight.experts * matrix_bytes(weight) if matrix else 4 * tensor.size
    return total


@pytest.mark.parametrize("weights", ["Q8_0", "Q4_0", "F16", "BF16", "Q6_K", "F32", "Q5_1", "Q3_K"])
def test_a_models_needs_are_those_of_its_tensors_each_once(tmp_path, weights):
    file = GGUF.open(write_model(tmp_path / "m.gguf", weights=weights))
    needs = needs_of(file)
    assert needs.weights(len(needs.layers)) == on_card(file)
    assert needs.buffers > 0 and all(needs.positions) and all(needs.layers)


def test_the_experts_of_a_layer_are_padded_each(tmp_path):
    path = write_model(tmp_path / "m.gguf", "qwen3moe", weights="F16", dimensions={"F": 80})
    file = GGUF.open(path)
    assert Weights(file).weight("blk.0.ffn_gate_exps.weight").experts > 1
    needs = needs_of(file)
    assert needs.weights(len(needs.layers)) == on_card(file)


def test_what_stands_around_the_layers_is_distinguished(file):
    needs, weights = needs_of(file), Weights(file)
    table, output = (weights.weight(f"{name}.weight") for name in ("token_embd", "output"))
    assert needs.embedding == matrix_bytes(table)
    assert needs.head == matrix_bytes(output) + 4 * file.tensors["output_norm.weight"].size


def test_an_embedding_that_is_also_the_head_is_on_the_card_once(tmp_path):
    tied = {"output.weight": None}
    file = GGUF.open(write_model(tmp_path / "tied.gguf", weights="Q8_0", tensors=tied))
    needs = needs_of(file)
    assert needs.embedding == 0
    assert needs.head >= matrix_bytes(Weights(file).weight("token_embd.weight"))
    assert needs.weights(len(needs.layers)) == on_card(file)


# --- the machine's own memory beside it


def planned(file: GGUF, count: int, free: int = 1 << 40) -> loading.Plan:
    program, options = loading.build(file, 512), LoadOptions("cpu", ctx=512)
    placement = Placement(count, program.layers, 1, 512)
    needs = needs_here(program, 512, options, placement, Resources(1, None, print))
    return loading.plan_memory(file.path, needs, 512, 512, MemoryLimit(free, "test"), placement)


def test_the_machine_holds_what_is_not_on_the_card(file):
    layers = loading.build(file, 512).layers
    whole, part = planned(file, layers), planned(file, 1)
    assert (whole.weights, whole.cache) == (0, 0)
    away = (f"blk.{layers - 1}.", "output", "token_embd")
    stays = sum(t.data.nbytes for name, t in file.tensors.items() if not name.startswith(away))
    stays += file.tensors["token_embd.weight"].data[:256].nbytes  # read in place, row by row
    assert part.weights == stays
    assert 0 < part.cache < planned(file, 0).cache


def test_a_model_on_the_card_still_needs_buffers_here(file):
    layers = loading.build(file, 512).layers
    with pytest.raises(OutOfMemoryError):
        planned(file, layers, free=0)


@pytest.mark.parametrize("layers", [-1, "some", 1.5])
def test_other_words_for_layers_are_refused(layers):
    with pytest.raises(UsageError, match="gpu_layers"):
        LoadOptions(gpu_layers=layers)
