"""The processor's features, as far as LLVM does not read them: from faked kernels' values."""

import sys

import pytest

from ops.cpu import processor
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung

HWCAP, HWCAP2 = 16, 26
# what these processors' Linux has in AT_HWCAP: fp, asimd, ..., asimdhp (10), ..., asimddp (20)
CORTEX_A72 = {HWCAP: 0xFF}
NEOVERSE_N1 = {HWCAP: 0x119FFF}
NEOVERSE_V1 = {HWCAP: 0xFFFFFFFF, HWCAP2: 1 << 13 | 1 << 14}


def imitate(monkeypatch, system: str, **replaced) -> None:
    """A process of `system` on an ARM processor of which LLVM knows nothing but its vectors."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(processor.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(processor.llvm, "get_host_cpu_features", lambda: {"neon": True, "sve": 0})
    for name, value in replaced.items():
        monkeypatch.setattr(processor, name, value)


@pytest.mark.parametrize(
    ("vector", "features", "rung"),
    [
        (CORTEX_A72, set(), "generic"),
        ({HWCAP: 1 << 20}, {"dotprod"}, "generic"),
        (NEOVERSE_N1, {"dotprod", "fullfp16"}, "dotprod"),
        (NEOVERSE_V1, {"dotprod", "fullfp16", "i8mm", "bf16"}, "i8mm"),
    ],
)
def test_linux_tells_of_arm_in_the_auxiliary_vector(monkeypatch, vector, features, rung):
    imitate(monkeypatch, "linux", _auxiliary=lambda entry: vector.get(entry, 0))
    assert host_features() == {"neon"} | features
    assert choose_rung(host_features(), {}, "aarch64").name == rung


@pytest.mark.parametrize(
    ("names", "features"),
    [
        ((), set()),
        (("FEAT_FP16", "FEAT_DotProd"), {"fullfp16", "dotprod"}),  # M1
        (
            ("FEAT_FP16", "FEAT_DotProd", "FEAT_I8MM", "FEAT_BF16"),  # M2
            {"fullfp16", "dotprod", "i8mm", "bf16"},
        ),
    ],
)
def test_macos_tells_of_arm_by_sysctl(monkeypatch, names, features):
    known = {f"hw.optional.arm.{name}": 1 for name in names}
    imitate(monkeypatch, "darwin", sysctl_number=lambda key: known.get(key, 0))
    assert host_features() == {"neon"} | features


def test_bits_of_other_processors_mean_something_else(monkeypatch):
    imitate(monkeypatch, "linux", _auxiliary=lambda entry: -1)
    monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
    assert host_features() == {"neon"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an auxiliary vector")
def test_the_auxiliary_vector_is_read():
    page_size = 6
    assert processor._auxiliary(page_size) >= 4096
