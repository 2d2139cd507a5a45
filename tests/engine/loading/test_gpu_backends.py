"""Which backend is chosen for every wish and every machine."""

import pytest

from lepton_cli.engine.loading.backends import BackendChoice, GpuUse, choose
from lepton_cli.engine.loading.placement import Placement
from ops.cuda.device.probe import Card, Missing
from quant.errors import UsageError

CARD = Card(0, "NVIDIA GeForce RTX 4090", (8, 9), 13000, 24_000_000_000)
NO_DRIVER = Missing("no NVIDIA driver was found", "install NVIDIA's driver", nvidia=False)
NO_EXTRA = Missing("RTX 4070 found, but GPU support is not installed", "pip install it")


def never() -> Card:
    raise AssertionError("no card may be looked for")


@pytest.mark.parametrize("wanted", ["cpu", "reference"])
@pytest.mark.parametrize("layers", ["auto", "all", 0, 7])
def test_a_backend_without_a_card_never_looks_for_one(wanted, layers):
    assert choose(wanted, layers, never) == BackendChoice(wanted)


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_no_layers_on_the_gpu_is_the_cpu_unasked(wanted):
    assert choose(wanted, 0, never) == BackendChoice("cpu")


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
@pytest.mark.parametrize("layers", ["auto", "all", 7])
def test_a_card_that_can_be_used_is_used(wanted, layers):
    assert choose(wanted, layers, lambda: CARD) == BackendChoice("cuda", CARD)


def test_a_card_that_cannot_be_used_is_reported_and_the_cpu_runs():
    choice = choose("auto", "auto", lambda: NO_EXTRA)
    told = "RTX 4070 found, but GPU support is not installed: pip install it; running on the CPU"
    assert choice == BackendChoice("cpu", no_gpu=told, announce=True)


def test_who_has_no_nvidia_card_is_not_nagged():
    choice = choose("auto", "auto", lambda: NO_DRIVER)
    assert (choice.backend, choice.announce) == ("cpu", False)
    assert choice.no_gpu is not None and choice.no_gpu.startswith("no NVIDIA driver was found: ")


@pytest.mark.parametrize("layers", ["all", 7])
def test_who_asked_for_layers_on_the_gpu_is_reported_why_there_are_none(layers):
    assert choose("auto", layers, lambda: NO_DRIVER).announce


@pytest.mark.parametrize("missing", [NO_DRIVER, NO_EXTRA])
@pytest.mark.parametrize("layers", ["auto", 7])
def test_cuda_without_a_card_is_refused_with_the_cure(missing, layers):
    with pytest.raises(UsageError) as caught:
        choose("cuda", layers, lambda: missing)
    assert (caught.value.message, caught.value.hint) == (missing.reason, missing.cure)


def test_the_use_of_a_card_is_reported_in_one_line():
    use = GpuUse(CARD, 22_100_000_000, Placement(21, 32, 5_900_000_000, 8192))
    assert str(use) == (
        "GPU: NVIDIA GeForce RTX 4090, compute 8.9, driver 13.0, 22.1 of 24.0 GB free; "
        "layers on the GPU: 21 of 32 (5.90 GB)"
    )
    assert use.arithmetic == "cuda.8.9.NVIDIA-GeForce-RTX-4090.21of32"
