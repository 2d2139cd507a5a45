"""The block that guesses further tokens: llama.cpp's logits, and the same bytes by parts."""

from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from numpy.typing import NDArray
from passes import nmse, resources
from preset_parts import GATED_ATTENTION
from presets_gguf import PRESETS

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
    return record(NextTokenHead(decoder_of(path)).forward, SourceFile(GGUF.open(path)))


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
    for forward in (decoder.forward, NextTokenHead(decoder).forward):
        record(forward)
    decoder.weights.check_all_used(decoder.ignored)


def with_head(path: Path, *, own: bool = False, **changed: str | None) -> Path:
    """A small Qwen 3.5 whose third block guesses; `own`: with the head's own table and matrices."""
    block = PRESETS["qwen35"].block | GATED_ATTENTION
    tensors = {f"blk.2.{name}": shape for name, shape in block.items() if shape}
    heads = {"eh_proj": "DF", "enorm": "D", "hnorm": "D"}
    if own:
        heads |= {"embed_tokens": "VD", "shared_head_head": "VD", "shared_head_norm": "D"}
    heads |= changed
    tensors |= {f"blk.2.nextn.{name}.weight": shape for name, shape in heads.items()}
    told = {"qwen35.block_count": 3, "qwen35.nextn_predict_layers": 1}
    told["qwen35.attention.recurrent_layers"] = [True, False, True]  # the last is of no meaning
    return write_model(path, "qwen35", tensors=tensors, metadata=told)


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


@pytest.mark.parametrize("shape", ["DD", None])
def test_a_missing_or_misshapen_tensor_of_a_head_is_named(tmp_path, shape):
    path = with_head(tmp_path / "m.gguf", eh_proj=shape)
    with pytest.raises(ModelFileError) as caught:
        head_of(path)
    assert "blk.2.nextn.eh_proj" in caught.value.message
