"""Models that keep a state of fixed size alone, and no cache of keys and values."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "mamba": Entry("mamba:Mamba1Model", "Mamba, FalconMamba", ("archs/mamba-dense",)),
    "mamba2": Entry("mamba:Mamba2Model", "Mamba-2, Codestral Mamba", ("archs/mamba2-dense",)),
}
