"""Pruning: what is left out, that the rest computes what it did, and what is refused."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import few, ids_of, logits_of, nmse, resources

from lepton_cli.engine.files.shards import Largest, split_outputs
from lepton_cli.engine.files.writing import write_outputs
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loss.trials import Trials
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.pruning.choosing import Chooser, Wanted
from lepton_cli.engine.pruning.cuts import Cut, Cuts, Kind
from lepton_cli.engine.pruning.edits import Edit, Edited
from lepton_cli.engine.pruning.prune import Part, Request, lost, numbers_of, prune
from lepton_cli.engine.pruning.ranking import (
    Open,
    block_influence,
    by_divergence,
    by_influence,
    unit_importance,
)
from lepton_cli.engine.pruning.sparsity import SparseTensors, Sparsity
from lepton_cli.engine.pruning.targets import size_of, without_layers, without_shares
from lepton_cli.engine.pruning.writing import check_left, output_of
from ops.backend import CpuBackend
from ops.interface import Step
from ops.memory_plan import Limits
from ops.program import Program
from ops.state.sequence import SequenceState
from quant.errors import UsageError
from quant.format import dequantize
from quant.gguf import GGUF
from quant.gguf_writer import Header, TensorInfo, copied_pairs, write

ROUNDING = 1e-10  # of float32 sums in another order
IDS = np.array(ids_of(12), np.int32)
WINDOWS = [TokenWindow(tuple(ids_of(12)), 2, 0), TokenWindow(tuple(ids_of(5, 1)), 2, 0)]
# with fused matrices, biases, norms of heads, gates of heads, sinks, experts, hybrids
ARCHITECTURES = ("llama", "gpt2", "phi3", "qwen3moe", "chameleon", "gpt-oss", "qwen35", "lfm2")


def opened(path: Path) -> tuple[GGUF, Program]:
    file = GGUF.open(path)
    return file, loading.build(file, 64)


def open_here() -> Open:
    return CpuBackend(("f16", "f16"), resources()).open


def cuts(file: GGUF, program: Program, kind: Kind) -> list[Cut]:
    return [cut for cut in getattr(Cuts(program, file), kind)() if isinstance(cut, Cut)]


def edited(file: GGUF, edit: Edit, sparse: SparseTensors | None = None) -> Edited:
    result = Edited(file, loading.build(file, 64), edit, sparse)
    check_left(result)
    return result


def pruned(file: GGUF, edit: Edit, path: Path) -> Path:
    write_outputs([output_of(edited(file, edit), path)])
    return path


def rewritten(file: GGUF, values: Mapping[str, np.ndarray], path: Path) -> Path:
    """A copy with other values in some tensors."""
    header = Header(
        copied_pairs(file.metadata),
        [TensorInfo(each.name, each.format, each.shape) for each in file.tensors.values()],
    )

    def data(info: TensorInfo) -> list[memoryview]:
        values_here = values.get(info.name, file.tensors[info.name].data)
        return [np.ascontiguousarray(values_here).data.cast("B")]

    with path.open("wb") as out:
        write(out, header, data)
    return path


@pytest.mark.parametrize("kind", ["channels", "heads"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_left_out_units_are_like_units_that_nobody_reads(architecture, kind, tmp_path):
    file, program = opened(write_model(tmp_path / "a.gguf", architecture))
    found = cuts(file, program, kind)
    assert found, "the architecture has such units"
    last = {cut: np.array([cut.units - 1]) for cut in found}
    silent = {}
    for cut in found:
        tensor = file.tensors[cut.reader]
        weights = dequantize(tensor.format, tensor.data).reshape(tensor.shape).copy()
        weights[..., -cut.each :] = 0
        silent[cut.reader] = weights
    without = pruned(file, Edit(units=last), tmp_path / "b.gguf")
    beside = rewritten(file, silent, tmp_path / "c.gguf")
    assert without.stat().st_size < beside.stat().st_size
    assert (
        nmse(logits_of(without, IDS, "reference"), logits_of(beside, IDS, "reference")) < ROUNDING
    )


@pytest.mark.parametrize("architecture", few(["llama", "deepseek2", "qwen3moe", "mamba2"]))
def test_a_file_without_layers_computes_what_the_program_without_them_does(architecture, tmp_path):
    file, program = opened(write_model(tmp_path / "a.gguf", architecture, dimensions={"L": 3}))
    path = pruned(file, Edit(frozenset([1])), tmp_path / "b.gguf")
    runner = open_here()(program.without([1]), Limits(16, 16))
    numbers = np.arange(len(IDS), dtype=np.int32)
    want = np.array(runner.run(Step(IDS, numbers, numbers), [SequenceState(runner.pool)]))
    runner.close()
    assert (logits_of(path, IDS, "cpu") == want).all()
    assert GGUF.open(path).metadata.integer(f"{architecture}.block_count") == 2


def test_keys_with_a_number_for_each_block_lose_those_of_the_layers(tmp_path):
    keys = {"llama.feed_forward_length": [96, 64, 96], "llama.attention.head_count_kv": [2, 1, 2]}
    shapes = {"blk.1.attn_k.weight": (16, 64), "blk.1.attn_v.weight": (16, 64)}
    shapes |= {f"blk.1.ffn_{name}.weight": (64, 64) for name in ("up", "gate", "down")}
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    path = write_model(
        tmp_path / "a.gguf", metadata=keys, tensors=tensors, dimensions={"L": 3, "D": 64, "F": 96}
    )
    file, _ = opened(path)
    metadata = GGUF.open(pruned(file, Edit(frozenset([0])), tmp_path / "b.gguf")).metadata
    assert [metadata.integers(key) for key in keys] == [[64, 96], [1, 2]]


def test_a_layer_that_changes_nothing_has_no_influence_and_goes_first(tmp_path):
    path = write_model(tmp_path / "a.gguf", dimensions={"L": 3})
    file, _ = opened(path)
    idle = {
        name: np.zeros(file.tensors[name].shape, np.float32)
        for name in ("blk.1.attn_output.weight", "blk.1.ffn_down.weight")
    }
    _, program = opened(rewritten(file, idle, tmp_path / "b.gguf"))
    scores = block_influence(program, [IDS.tolist(), IDS.tolist()[:5]], open_here())
    assert scores[1] == pytest.approx(0, abs=1e-7)
    assert min(scores[0], scores[2]) > 1e-3
    assert [*by_influence(scores, {0})] == [1, 2]


@pytest.mark.parametrize("kind", ["channels", "heads", "experts"])
def test_units_with_small_columns_and_small_inputs_go_first(kind, tmp_path):
    path = write_model(tmp_path / "a.gguf", "qwen3moe")
    file, program = opened(path)
    cut = cuts(file, program, kind)[0]
    shape = file.tensors[cut.reader].shape
    values = np.ones(shape, np.float32)
    small = (2, ...) if kind == "experts" else (..., slice(2 * cut.each, 3 * cut.each))
    values[small] = 1e-3
    smaller, program = opened(rewritten(file, {cut.reader: values}, tmp_path / "b.gguf"))
    cut = cuts(smaller, program, kind)[0]
    if cut.units > 2:
        assert unit_importance(smaller, cut, None).argmin() == 2
    experts = shape[0] if len(shape) == 3 else 1
    sums = np.ones((experts, shape[-1]), np.float32)
    sums[(1, ...) if kind == "experts" else (..., slice(cut.each, 2 * cut.each))] = 1e-12
    assert unit_importance(smaller, cut, {cut.reader: sums}).argmin() == 1


@pytest.mark.parametrize("weights", ["F32", "F16", "Q8_0"])
def test_as_much_is_left_out_of_every_layer_as_was_asked(weights, tmp_path):
    size = {"D": 64, "F": 128, "H": 4, "K": 4, "d": 32}
    path = write_model(tmp_path / "a.gguf", weights=weights, dimensions=size)
    file, program = opened(path)
    edit = Chooser(file, program).choose(Wanted(channels=0.25, heads=0.5))
    keys = GGUF.open(pruned(file, edit, tmp_path / "b.gguf")).metadata
    names = ("feed_forward_length", "attention.head_count", "attention.head_count_kv")
    assert [keys.integer(f"llama.{name}") for name in names] == [128 - 32, 2, 2]
    assert keys.integer("llama.attention.key_length") == 32
    assert np.isfinite(logits_of(tmp_path / "b.gguf", IDS, "reference")).all()


def refusal(file: GGUF, edit: Edit) -> str:
    with pytest.raises(UsageError) as caught:
        edited(file, edit)
    return f"{caught.value.message} | {caught.value.hint}"


def test_a_layer_whose_place_makes_it_another_kind_is_refused(tmp_path):
    file, _ = opened(write_model(tmp_path / "a.gguf", "gemma3"))
    said = refusal(file, Edit(frozenset([0])))
    assert said.startswith("layer 5 would become layer 4, which is of another kind | leave out")
    assert edited(file, Edit(frozenset([5]))).header().file_bytes < file.file_bytes


def test_what_would_be_no_model_is_refused_with_the_reason(tmp_path):
    file, program = opened(write_model(tmp_path / "a.gguf", "grovemoe"))
    edit = Chooser(file, program).choose(Wanted(experts=0.25))
    assert "what is left would be no model: the key grovemoe.experts_per_group" in refusal(
        file, edit
    )


def test_a_split_model_becomes_one_file(tmp_path):
    whole = GGUF.open(write_model(tmp_path / "a.gguf", dimensions={"L": 3}))
    write_outputs(split_outputs(whole, tmp_path / "s", Largest(None, 9, True)))
    parts = GGUF.open(sorted(tmp_path.glob("s-*.gguf"))[0])
    edit = Edit(frozenset([1]))
    one, other = (
        pruned(file, edit, tmp_path / f"{n}.gguf") for n, file in enumerate((whole, parts))
    )
    assert len(parts.paths) > 1
    assert one.read_bytes() == other.read_bytes()


def test_units_that_a_norm_mixes_are_not_left_out(tmp_path):
    file, program = opened(write_model(tmp_path / "a.gguf", "olmo2"))
    with pytest.raises(UsageError, match=r"no heads can be left out: layer 0: a norm over all"):
        Chooser(file, program).choose(Wanted(heads=0.5))


def test_parts_of_blocks_are_not_left_out(tmp_path):
    file, program = opened(write_model(tmp_path / "a.gguf", weights="Q4_K"))
    with pytest.raises(UsageError, match=r"attn_output.weight would lose parts of its Q4_K blocks"):
        edited(file, Chooser(file, program).choose(Wanted(heads=0.5))).header()


def test_all_layers_cannot_be_left_out(tmp_path):
    file, _ = opened(write_model(tmp_path / "a.gguf"))
    for request in (Request(Wanted(frozenset([0, 1]))), Request(Wanted(frozenset([0])), count=1)):
        with pytest.raises(UsageError, match="the model has 2 layers"):
            prune(file, request, WINDOWS, start=open_here())


@pytest.mark.parametrize("by", ["channels", "heads"])
def test_as_little_as_possible_is_left_out_for_a_size(by, tmp_path):
    path = write_model(tmp_path / "a.gguf", dimensions={"F": 512, "H": 8, "K": 8})
    chooser = Chooser(*opened(path))
    whole = size_of(chooser, Wanted())
    size = size_of(chooser, without_shares(chooser, Wanted(), by, round(0.9 * whole)))
    assert 0.6 * whole < size <= 0.9 * whole
    assert without_shares(chooser, Wanted(), by, whole) == Wanted()


def test_layers_leave_in_their_order_until_the_size_is_reached(tmp_path):
    chooser = Chooser(*opened(write_model(tmp_path / "a.gguf", dimensions={"L": 6})))
    most = size_of(chooser, Wanted(frozenset([1, 2])))
    found = without_layers(chooser, Wanted(frozenset([4])), most, iter([3, 0, 1]))
    assert found.layers == {4, 3}


def test_a_size_that_cannot_be_reached_is_refused_with_the_least(tmp_path):
    chooser = Chooser(*opened(write_model(tmp_path / "a.gguf", dimensions={"L": 3})))
    with pytest.raises(UsageError) as caught:
        without_layers(chooser, Wanted(), 1000, iter(range(3)))
    least = GGUF.open(pruned(chooser.file, Edit(frozenset([0, 1])), tmp_path / "b.gguf"))
    assert f"has {least.file_bytes} bytes at least" in caught.value.message
    with pytest.raises(UsageError, match="without heads the file has"):
        without_shares(chooser, Wanted(), "heads", 1000)


def test_the_layer_without_which_the_model_diverges_least_leaves_next(tmp_path):
    _, program = opened(write_model(tmp_path / "a.gguf", dimensions={"L": 3}))
    trials = Trials(program, WINDOWS, open_here())
    told: list[tuple[int, float]] = []
    order = by_divergence(program, trials, {0}, lambda *each: told.append(each))
    assert next(order) == min((1, 2), key=dict(told).__getitem__)
    assert [layer for layer, _ in told] == [1, 2]
    assert dict(told)[1] == trials.divergence(program.without({0, 1})).mean.value


@pytest.mark.parametrize(
    "wanted, sparsity",
    [(Wanted(frozenset([1])), None), (Wanted(channels=0.5, heads=0.5), None), (Wanted(), "2:4")],
)
def test_what_is_lost_is_known_before_anything_is_written(wanted, sparsity, tmp_path):
    path = write_model(tmp_path / "a.gguf", dimensions={"L": 3, "F": 128})
    zeros = None if sparsity is None else Sparsity.of(sparsity)
    start = CpuBackend(("f32", "f32"), resources()).open
    found = prune(GGUF.open(path), Request(wanted, sparsity=zeros), WINDOWS, start=start)
    out = tmp_path / "b.gguf"
    write_outputs([output_of(found.result, out)])
    before, after = (lost(found, WINDOWS, each, start) for each in (None, out))
    assert before is not None and after is not None
    assert before.mean.value == pytest.approx(after.mean.value, rel=1e-3)  # f32 sums, other orders
    assert after.mean.value > 1e-3


def test_without_experts_the_loss_is_known_from_the_file(tmp_path):
    file = GGUF.open(write_model(tmp_path / "a.gguf", "qwen3moe"))
    found = prune(file, Request(Wanted(experts=0.5)), WINDOWS)
    assert lost(found, WINDOWS, None, open_here()) is None
    write_outputs([output_of(found.result, tmp_path / "b.gguf")])
    after = lost(found, WINDOWS, tmp_path / "b.gguf", open_here())
    assert after is not None and after.mean.value > 0


def test_the_least_weights_become_zeros():
    rows = np.array([[1, -5, 3, 2, 9, -8, 7, 6]], np.float32)
    assert Sparsity.of("0.5").rows(rows, None).tolist() == [[0, 0, 0, 0, 9, -8, 7, 6]]
    assert Sparsity.of("2:4").rows(rows, None).tolist() == [[0, -5, 3, 0, 9, -8, 0, 0]]
    sums = np.array([100, 0.01, 1, 1, 1, 1, 1, 1], np.float32)
    assert Sparsity.of("2:4").rows(rows, sums).tolist() == [[1, 0, 3, 0, 9, -8, 0, 0]]


@pytest.mark.parametrize("text", ["", "2", "0", "1", "4:2", "2:2", "a:b", "-0.5", "nan"])
def test_what_is_no_sparsity_is_refused(text):
    with pytest.raises(UsageError, match="is no sparsity"):
        Sparsity.of(text)


@pytest.mark.parametrize("weights", ["F32", "F16", "BF16"])
def test_matrices_of_layers_get_zeros_and_nothing_else_changes(weights, tmp_path):
    file, program = opened(write_model(tmp_path / "a.gguf", "qwen3moe", weights=weights))
    sparse = SparseTensors(program, Sparsity.of("2:4"), None)
    path = tmp_path / "b.gguf"
    write_outputs([output_of(edited(file, Edit(), sparse), path)])
    for name, tensor in GGUF.open(path).tensors.items():
        values = dequantize(tensor.format, tensor.data)
        if name in sparse.names:
            assert name.startswith("blk.")
            assert ((values.reshape(-1, 4) == 0).sum(axis=1) == 2).all()
        else:
            assert (tensor.data == file.tensors[name].data).all()
    assert {"blk.0.ffn_down_exps.weight", "blk.1.attn_q.weight"} < sparse.names


def test_quantized_weights_get_no_zeros(tmp_path):
    file, program = opened(write_model(tmp_path / "a.gguf", weights="Q8_0"))
    sparse = SparseTensors(program, Sparsity.of("0.5"), None)
    with pytest.raises(UsageError, match="is Q8_0: its zeros would be rounded"):
        write_outputs([output_of(edited(file, Edit(), sparse), tmp_path / "b.gguf")])


def test_layers_are_ranked_by_a_text_and_the_report_says_what_left(tmp_path):
    path = write_model(tmp_path / "a.gguf", dimensions={"L": 4, "F": 128})
    file = GGUF.open(path)
    wanted = Wanted(channels=0.5, heads=0.5)
    found = prune(file, Request(wanted, count=2), WINDOWS, start=open_here())
    assert found.influences is not None
    assert set(found.layers) == {*np.argsort(found.influences)[:2].tolist()}
    assert found.parts == (Part("channels", 128, 64), Part("heads", 2, 1))
    write_outputs([output_of(found.result, tmp_path / "b.gguf")])
    sizes = [each.stat().st_size for each in (path, tmp_path / "b.gguf")]
    assert [found.before, found.after] == sizes


def test_layers_that_share_what_they_keep_are_not_ranked(tmp_path):
    file = GGUF.open(write_model(tmp_path / "a.gguf", "gemma4"))
    with pytest.raises(UsageError, match=r"layer 1 reads what layers before it keep"):
        prune(file, Request(count=1), WINDOWS, start=open_here())


@pytest.mark.parametrize(
    "text, layers", [("3", {3}), ("1,3-5", {1, 3, 4, 5}), (" 0 - 1 ", {0, 1}), ("2,2", {2})]
)
def test_layers_are_named_by_numbers_and_ranges(text, layers):
    assert numbers_of(text, 6) == layers


@pytest.mark.parametrize("text", ["", "a", "1,", "-1", "6", "3-2", "0-99999999999", "1.5", "²"])
def test_what_names_no_layers_is_refused(text):
    with pytest.raises(UsageError, match=r"no list of layers|names no layers"):
        numbers_of(text, 6)
