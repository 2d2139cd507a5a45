"""An importance matrix beside sums over what enters the reference's products."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of

from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.imatrix.collecting import Collector, Run, collecting_options, done_of, run_of
from lepton_cli.engine.imatrix.matrix import Entry, ImportanceMatrix, merged
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss.windows import Cutting, TokenWindows
from lepton_cli.engine.model import Model, open_model
from ops.reference.operators import Reference
from ops.reference.runner import ReferenceRunner
from quant.errors import ModelFileError, UsageError
from quant.gguf import GGUF

CONTEXT, COUNT = 16, 4
WINDOWS = Cutting(CONTEXT).windows(ids_of(CONTEXT * COUNT), 1)
RUN = Run("some text", "a run")


@contextmanager
def opened(path: Path, *, of_output: bool = False, **options) -> Iterator[Model]:
    wanted = collecting_options(LoadOptions("cpu", 2, **options), CONTEXT, of_output=of_output)
    with open_model(path, wanted) as model:
        yield model


def collected(
    path: Path,
    windows: TokenWindows = WINDOWS,
    before: ImportanceMatrix | None = None,
    **options,
) -> ImportanceMatrix:
    with opened(path, **options) as model:
        collector = Collector(model, windows, RUN, before)
        for _ in collector.collect():
            pass
        return collector.matrix


def by_the_reference(path: Path, monkeypatch) -> dict[str, Entry]:
    found, inputs = dict[str, Entry](), list[tuple[str, object]]()
    experts, heads = Reference.expert_linear, Reference.head_linear

    def add(name, sums, counts):
        before = found.get(name, Entry(0.0 * sums, 0.0 * counts))
        found[name] = Entry(before.sums + sums, before.counts + counts)

    def entering(weight, x):
        once = all(name != weight.name or other is not x for name, other in inputs)
        inputs.append((weight.name, x))  # parts of one weight, as of ssm_x, read the same
        if weight.experts == 1 and once:
            squares = np.square(x, dtype=float).sum(axis=0, keepdims=True)
            add(weight.name, squares, np.array([float(len(x))]))
        return x

    def expert_linear(self, w, x, chosen):
        ids = chosen.ids.reshape(-1)
        rows = np.repeat(np.square(x, dtype=float), len(ids) // len(x), 0)
        each = [rows[ids == expert].sum(axis=0) for expert in range(w.weight.experts)]
        add(w.weight.name, np.array(each), np.bincount(ids, minlength=len(each)).astype(float))
        return experts(self, w, x, chosen)

    def head_linear(self, w, x):
        count = w.weight.experts
        squares = np.square(x, dtype=float).sum(axis=0).reshape(count, -1)
        add(w.weight.name, squares, np.full(count, float(len(x))))
        return heads(self, w, x)

    monkeypatch.setattr(Reference, "expert_linear", expert_linear)
    monkeypatch.setattr(Reference, "head_linear", head_linear)
    runner = ReferenceRunner(loading.build(GGUF.open(path), CONTEXT), ("f16", "f16"), entering)
    window = Window(Passes(runner, CONTEXT, CONTEXT), CONTEXT)
    for each in WINDOWS:
        for _ in window.logits_from(0, each.ids):
            pass
    return found


@pytest.mark.parametrize("preset", ["llama-moe", "deepseek2", "mamba", "hrm_text"])
def test_sums_and_counts_are_those_of_the_references_products(preset, tmp_path, monkeypatch):
    path = write_model(tmp_path / "model.gguf", preset)
    matrix, wanted = collected(path, of_output=True), by_the_reference(path, monkeypatch)
    assert (matrix.chunks, matrix.chunk_size, matrix.datasets) == (COUNT, CONTEXT, ("some text",))
    names = {name for name in wanted if name.startswith("blk.") or name == "output.weight"}
    assert set(matrix.entries) == names
    for name in names:
        entry = matrix.entries[name]
        assert (entry.counts == wanted[name].counts).all(), name
        assert entry.sums == pytest.approx(wanted[name].sums, rel=1e-2, abs=1e-6), name


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("made") / "model.gguf", "llama-moe")


def same(one: ImportanceMatrix, other: ImportanceMatrix) -> bool:
    return set(one.entries) == set(other.entries) and all(
        entry.sums == pytest.approx(other.entries[name].sums, rel=1e-6)
        and (entry.counts == other.entries[name].counts).all()
        for name, entry in one.entries.items()
    )


def test_passes_of_other_sizes_and_threads_give_the_same(path):
    assert same(collected(path), collected(path, ubatch=5))


def test_the_output_is_collected_only_if_it_is_asked_for(path):
    more = set(collected(path, of_output=True).entries) - set(collected(path).entries)
    assert more == {"output.weight"}


def test_a_part_is_continued_and_gives_what_one_run_gives(path):
    whole, parts = collected(path), []
    with opened(path) as model:
        collector = Collector(model, WINDOWS, RUN, None)
        for found in collector.collect():
            parts.append(collector.matrix)
            if found.done == 2:
                break
    assert [part.chunks for part in parts] == [1, 2] and done_of(parts[1], RUN) == 2
    continued = collected(path, before=parts[1])
    assert same(whole, continued) and continued.chunks == COUNT


def test_what_other_texts_gave_is_added(path):
    first, second = collected(path, WINDOWS[:2]), collected(path, WINDOWS[2:])
    others = merged([("a", first), ("b", second)])
    other_run = ImportanceMatrix(first.entries, ("another text",), first.chunks, CONTEXT)
    added = collected(path, WINDOWS[2:], before=other_run)
    assert same(collected(path), others) and same(others, added)
    assert added.datasets == ("another text", "some text") and added.chunks == COUNT


def test_a_run_is_named_by_model_text_and_windows(tmp_path):
    other = tmp_path / "a.gguf"
    other.write_bytes(b"some matrix")
    runs = [
        run_of("t", "model", WINDOWS, []),
        run_of("t", "model", WINDOWS[1:], []),
        run_of("t", "another", WINDOWS, []),
        run_of("t", "model", Cutting(8).windows(WINDOWS.ids, 1), []),
        run_of("t", "model", WINDOWS, [other]),
    ]
    assert len({run.key for run in runs}) == len(runs)


def test_a_matrix_of_another_model_is_refused(path, tmp_path):
    matrix, other = collected(path), tmp_path / "other.gguf"
    matrix.check_model(GGUF.open(path), "a.gguf")
    with pytest.raises(UsageError, match=r"a\.gguf: .* has no weight blk\.0\.ffn_"):
        matrix.check_model(GGUF.open(write_model(other)), "a.gguf")
    wide = write_model(other, "llama-moe", dimensions={"D": 96})
    with pytest.raises(UsageError, match=r"a\.gguf: blk\.0\..* columns?, in .* 96 columns"):
        matrix.check_model(GGUF.open(wide), "a.gguf")


def test_activations_that_are_not_finite_are_an_error(path):
    with opened(path) as model:
        collector = Collector(model, WINDOWS, RUN, None)
        model.observations[0].sums[:] = np.nan
        model.window.logits_from = lambda *_: iter([None])  # type: ignore[method-assign]
        with pytest.raises(ModelFileError, match="not finite"):
            next(collector.collect())


def test_a_model_with_an_encoder_is_refused(tmp_path):
    with (
        pytest.raises(UsageError, match="has an encoder"),
        opened(write_model(tmp_path / "t5.gguf", "t5")),
    ):
        pass


def test_the_reference_backend_is_refused():
    with pytest.raises(UsageError, match="reference backend"):
        collecting_options(LoadOptions("reference"), CONTEXT, of_output=False)
