"""The block that guesses further tokens: llama.cpp's logits, and the same bytes by parts."""

from pathlib import Path

import numpy as np
import pytest
from head_model import with_head
from numpy.typing import NDArray
from passes import nmse, resources

from lepton_cli.engine.library.identity import SourceFile
from lepton_cli.engine.loading import plan as loading
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.next_token import NextTokenHead
from ops.backend import BackendName, backend_of
from ops.interface import Step
from ops.memory_plan import Limits
from ops.operations.base import Pages
from ops.program import Program
from ops.recorder import record
from ops.state.sequence import SequenceState
from quant.errors import ModelFileError
from quant.gguf import GGUF

Floats = NDArray[np.float32]

RECORDINGS = ["deepseek2-glm", "qwen35", "qwen35moe", "qwen3next"]
TOLERANCE = {"reference": 1e-10, "cpu": 1e-8}


def decoder_of(path: Path) -> Decoder:
    file = GGUF.open(path)
    return loading.architecture(file)(file, 256)


def head_of(path: Path) -> Program:
    head = NextTokenHead.of(decoder_of(path))
    assert head is not None
    return record(lambda ops: head.logits(ops, head.hidden(ops)), SourceFile(GGUF.open(path)))


class Guesser:
    """A file's head on a backend, with one sequence."""

    def __init__(self, path: Path, backend: BackendName) -> None:
        chosen = backend_of(backend, ("f32", "f32"), resources())
        self.runner = chosen.open(head_of(path), Limits(256, 256))
        self.state = SequenceState(self.runner.pool)

    def guess(self, ids: list[int], before: Floats, start: int = 0) -> Floats:  # (T, V)
        """The logits of all tokens, the first of which stands at position `start`."""
        rows = np.arange(len(ids), dtype=np.int32)
        step = Step(np.array(ids, np.int32), rows + np.int32(start), rows, given=(before,))
        return np.array(self.runner.run(step, [self.state]))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", RECORDINGS)
def test_logits_agree_with_llama_cpp(shared_data, name, backend):
    """Zeros stand before the first token; without it, distances alone count in the attention."""
    path = shared_data("more") / f"{name}.gguf"
    recorded = np.load(path.with_suffix(".npz"))
    ids, rows = recorded["ids"].tolist(), recorded["hidden"]
    before = np.concatenate([np.zeros_like(rows[:1]), rows[:-1]])
    guesser = Guesser(path, backend)
    whole = guesser.guess(ids, before)
    assert nmse(whole, recorded["logits_mtp_from_0"]) < TOLERANCE[backend]
    guesser.state.rewind(0)
    later = guesser.guess(ids[1:], before[1:])
    assert nmse(later, recorded["logits_mtp"]) < TOLERANCE[backend]
    guesser.runner.close()


@pytest.mark.parametrize("name", RECORDINGS)
def test_model_and_head_use_every_tensor_of_the_file(shared_data, name):
    decoder = decoder_of(shared_data("more") / f"{name}.gguf")
    head = NextTokenHead(decoder)
    for forward in (decoder.forward, lambda ops: head.logits(ops, head.hidden(ops))):
        record(forward)
    decoder.weights.check_all_used(decoder.ignored)


def inputs(count: int) -> tuple[list[int], Floats]:
    random = np.random.default_rng(4)
    before = random.standard_normal((count, 64), np.float32)
    return random.integers(3, 250, count).tolist(), before


@pytest.mark.parametrize("own", [False, True])
def test_cpu_equals_reference_and_by_parts_and_after_a_rewind_the_bytes_are_the_same(tmp_path, own):
    path, (ids, before) = with_head(tmp_path / "m.gguf", own=own), inputs(12)
    guesser = Guesser(path, "cpu")
    full = guesser.guess(ids, before)
    assert nmse(full, Guesser(path, "reference").guess(ids, before)) < 1e-10
    guesser.state.rewind(5)
    rows = [guesser.guess(ids[n : n + 1], before[n : n + 1], n) for n in range(5, 12)]
    np.testing.assert_array_equal(np.concatenate(rows), full[5:])
    guesser.runner.close()


def test_the_rows_that_are_given_matter(tmp_path):
    path, (ids, before) = with_head(tmp_path / "m.gguf"), inputs(3)
    guesser = Guesser(path, "cpu")
    one, other = guesser.guess(ids, before), guesser.guess(ids, before[::-1].copy())
    assert not np.array_equal(one[0], other[0])
    guesser.runner.close()


def test_a_head_keeps_keys_and_values_of_its_own_block_alone(tmp_path):
    program = head_of(with_head(tmp_path / "m.gguf"))
    [state] = program.states
    assert isinstance(state, Pages) and state.layer == 2


@pytest.mark.parametrize(("name", "shape"), [("eh_proj", "DD"), ("enorm", None)])
def test_a_missing_or_misshapen_tensor_of_a_head_is_named(tmp_path, name, shape):
    path = with_head(tmp_path / "m.gguf", **{name: shape})
    with pytest.raises(ModelFileError) as caught:
        head_of(path)
    assert f"blk.2.nextn.{name}" in caught.value.message


def test_a_file_without_the_tensors_of_its_further_block_has_no_head(tmp_path):
    path = with_head(tmp_path / "m.gguf", eh_proj=None)
    assert NextTokenHead.of(decoder_of(path)) is None
