"""Files whose tensors do not fit their architecture: each is refused by the tensor's name."""

import numpy as np
import pytest
from make_gguf import write_model
from presets_gguf import PRESETS

from lepton_cli.engine.loading import plan as loading
from quant.errors import ModelFileError
from quant.format import FORMATS
from quant.gguf import GGUF, Tensor


@pytest.fixture(scope="module", params=sorted(PRESETS))
def file(request, tmp_path_factory) -> GGUF:
    return GGUF.open(write_model(tmp_path_factory.mktemp("made") / "m.gguf", request.param))


def complaint(file: GGUF, name: str, shape: tuple[int, ...] | None) -> str:
    """What is said of the file without the tensor, or with one of another shape."""
    given = file.tensors[name]
    if shape is None:
        del file.tensors[name]
    else:
        data = np.zeros((int(np.prod(shape[:-1])), shape[-1] * 4), np.uint8)
        file.tensors[name] = Tensor(name, FORMATS["F32"], shape, data)
    try:
        with pytest.raises(ModelFileError) as caught:
            loading.build(file, 256)
    finally:
        file.tensors[name] = given
    return caught.value.message


def test_a_norm_that_is_narrower_than_what_it_meets_is_refused(file):
    used = {use.weight.name for use in loading.build(file, 256).weights()}  # not all are in gemma4
    for name, tensor in file.tensors.items():
        if name in used and "norm" in name and tensor.shape[-1] > 1:
            narrow = *tensor.shape[:-1], tensor.shape[-1] // 2
            assert name.rpartition(".")[0] in complaint(file, name, narrow)
