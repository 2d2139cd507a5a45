"""States of recurrent layers on disk: each with the blocks before it, the longest goes first."""

from pathlib import Path

import numpy as np
import pytest

from lepton_cli.engine.prefixes.store import PAGE, PrefixStore
from ops.interface import BLOCK
from ops.state.sequence import SavedState

SIZE = 2 * PAGE  # bytes of a block and of a state
FILE = PAGE + SIZE
IDS = np.random.default_rng(0).integers(0, 100_000, 700).tolist()
ENDS = (100, 300, 600)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "prefixes"


def store(root: Path, limit: int = 1 << 30) -> PrefixStore:
    return PrefixStore(root, bytes(16), "a model", (SIZE, SIZE), limit)


def state(position: int) -> SavedState:
    blocks = [np.full(SIZE, n, np.uint8) for n in range(-(-position // BLOCK))]
    return SavedState(position, blocks, np.full(SIZE, position % 251, np.uint8))


def keep(where: PrefixStore) -> bool:
    *earlier, last = map(state, ENDS)
    return where.add(IDS, last, 1, earlier[::-1])


@pytest.mark.parametrize("common", [50, 100, 299, 300, 511, 600, 700])
def test_a_prefix_ends_at_a_state_and_says_how_much_more_matches(root, common):
    keep(store(root))
    found = store(root).find([*IDS[:common], 7, 8, 9])
    assert found.count == max([end for end in ENDS if end <= common], default=0)
    assert found.common == min(common, ENDS[-1])
    if found.count:
        assert np.array_equal(store(root).load(found).slots, state(found.count).slots)


def test_no_state_is_written_whose_blocks_have_no_room(root, monkeypatch):
    written = []
    monkeypatch.setattr(PrefixStore, "_write", lambda self, path, *rest: written.append(path))
    keep(store(root, 2 * FILE))  # room for two of three blocks
    assert [path.suffix for path in written] == [".kv", ".kv", ".state", ".state"]


@pytest.mark.parametrize(("count", "left"), [(6, ENDS), (5, (100, 300)), (4, (100,)), (3, ())])
def test_the_longest_state_goes_first_and_states_before_blocks(root, count, left):
    keep(store(root, count * FILE))
    assert len(list(root.glob("*/*"))) == count
    assert len(list(root.glob("*/*.kv"))) == 3
    found = {store(root).find(IDS[:end]).count for end in ENDS}
    assert found - {0} == set(left)


def test_a_damaged_state_leaves_the_shorter_one(root):
    keep(store(root))
    found = store(root).find(IDS)
    assert found.state is not None
    found.state.write_bytes(found.state.read_bytes()[:-1] + b"x")
    assert store(root).load(found).position == 0
    assert store(root).find(IDS).count == 300
