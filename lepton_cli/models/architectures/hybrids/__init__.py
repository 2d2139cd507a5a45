"""Layers with a state of fixed size between layers of attention."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "falcon-h1": Entry("falcon_h1:FalconH1", "Falcon-H1", ("archs2/falcon-h1-dense",)),
    "granitehybrid": Entry(
        "granitehybrid:GraniteHybrid", "Granite 4, Bamba", ("archs/granitehybrid-dense",)
    ),
    "jamba": Entry("jamba:Jamba", "Jamba", ("archs2/jamba-dense",)),
    "lfm2": Entry("lfm2:Lfm2", "LFM2", ("archs/lfm2-dense",)),
    "lfm2moe": Entry("lfm2:Lfm2", "LFM2 8B-A1B", ("archs/lfm2moe-moe",)),
    "minimax-01": Entry(
        "minimax:MiniMax01", "MiniMax-Text-01, MiniMax-M1", ("archs2/minimax-01-moe",)
    ),
    "nemotron_h": Entry(
        "nemotron_h:NemotronH", "Nemotron-H, Nemotron Nano 2", ("archs/nemotron_h-dense",)
    ),
    "nemotron_h_moe": Entry(
        "nemotron_h:NemotronH", "Nemotron 3 Nano and Super", ("archs2/nemotron_h_moe-dense",)
    ),
    "plamo2": Entry("plamo2:Plamo2", "PLaMo 2", ("archs2/plamo2-dense",)),
}
