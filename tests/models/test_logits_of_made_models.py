"""Architectures without recorded files: llama.cpp's logits of the tiny models that tests make."""

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of, logits_of, nmse

COUNT = 150  # tokens
LAST_LOGITS = {  # of the last token, the first 8; llama-cpp-python 0.3.36 with an F32 cache
    "grovemoe": (
        *(0.1970702, 0.2723914, 1.299127, 1.208108),
        *(-0.6096436, 2.341459, -0.3204556, 3.720869),
    ),
    "graniteswitch": (
        *(0.6009851, -0.8220056, 0.1155903, 0.03214622),
        *(-0.01644413, 0.241941, 0.6229634, 0.1415492),
    ),
    "glm5-next": (
        *(-1.678785, -1.483949, -0.9724747, -0.3465924),
        *(3.257708, 0.5654557, 3.874241, 3.129914),
    ),
    "qwen4exp": (
        *(0.06470991, -0.3183591, 0.1129362, 0.07452037),
        *(0.1713861, -0.06405779, 0.2114776, -0.02363047),
    ),
    "deepseek4": (
        *(-0.2048862, -1.627936, -2.875817, -1.637774),
        *(-2.147977, 3.315892, 1.210183, 3.424566),
    ),
}


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("preset", sorted(LAST_LOGITS))
def test_logits_agree_with_llama_cpp(tmp_path, preset, backend):
    path = write_model(tmp_path / "m.gguf", preset, seed=3)
    got = logits_of(path, np.array(ids_of(COUNT), np.int32), backend)
    assert nmse(got[-1, :8], np.array(LAST_LOGITS[preset])) < 1e-10
