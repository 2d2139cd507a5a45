"""The card that is used, or why there is none."""

from collections.abc import Iterator

from ops.cuda.device.probe import Card, Missing, cuda_version
from ops.findings import Finding


def card_findings(found: Card | Missing) -> Iterator[Finding]:
    """The card and the backend that is used because of it, or why there is none."""
    if isinstance(found, Missing):
        yield Finding("backend", "cpu", "there is no GPU that can be used")
        yield Finding("GPU", "none", f"{found.reason}: {found.cure}")
        return
    yield Finding("backend", "cuda", "for the layers that fit on the GPU; -ngl 0 uses the CPU")
    driver = f"driver {cuda_version(found.driver)}"
    about = f"compute {found.compute}, {driver}, {found.total / 1e9:.1f} GB"
    yield Finding("GPU", found.name, about)
