"""Layers with a state of fixed size between layers of attention."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "lfm2": Entry("lfm2:Lfm2", "LFM2", ("archs/lfm2-dense",)),
}
