"""Phi."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "phi3": Entry("phi3:Phi3", "Phi 3 to 4", ("archs/phi3-dense",)),
}
