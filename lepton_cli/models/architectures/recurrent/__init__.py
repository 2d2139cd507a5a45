"""Models that keep a state of fixed size alone, and no cache of keys and values."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "arwkv7": Entry("rwkv:Arwkv7", "ARWKV-7"),
    "mamba": Entry("mamba:Mamba1Model", "Mamba, FalconMamba", ("archs/mamba-dense",)),
    "mamba2": Entry("mamba:Mamba2Model", "Mamba-2, Codestral Mamba", ("archs/mamba2-dense",)),
    "rwkv6": Entry("rwkv:Rwkv6", "RWKV-6 Finch", ("more/rwkv6",)),
    "rwkv6qwen2": Entry("rwkv:Rwkv6Qwen2", "QRWKV6", ("more/rwkv6qwen2",)),
    "rwkv7": Entry("rwkv:Rwkv7", "RWKV-7 Goose", ("more/rwkv7",)),
}
