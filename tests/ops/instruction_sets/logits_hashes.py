"""Prints a hash of the logits of a tiny random model in each format of weights.

    python tests/ops/instruction_sets/logits_hashes.py [FORMAT...]

Rungs of instructions whose arithmetic is the same print the same lines.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
from folders import make_importable  # noqa: E402

make_importable()

from make_gguf import write_model  # noqa: E402
from passes import open_positions  # noqa: E402

from ops.cpu.formats import kernel_formats  # noqa: E402

IDS = np.random.default_rng(0).integers(3, 250, 37).tolist()  # passes of 32 and 5 tokens


def main(formats: list[str]) -> None:
    os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    for name in formats or kernel_formats():
        with tempfile.TemporaryDirectory() as folder:
            path = write_model(Path(folder) / "tiny.gguf", weights=name, dimensions={"D": 256})
            positions, close = open_positions(path, "cpu", kv="q8_0")
            logits = positions.all_logits(IDS)
            close()
        assert np.isfinite(logits).all(), name
        print(name, hashlib.sha256(logits.tobytes()).hexdigest()[:16], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
