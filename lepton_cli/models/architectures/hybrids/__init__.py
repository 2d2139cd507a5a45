"""Layers with a state of fixed size between layers of attention."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "falcon-h1": Entry("falcon_h1:FalconH1", "Falcon-H1", ("archs2/falcon-h1-dense",)),
    "granitehybrid": Entry(
        "granitehybrid:GraniteHybrid", "Granite 4, Bamba", ("archs/granitehybrid-dense",)
    ),
    "jamba": Entry("jamba:Jamba", "Jamba", ("archs2/jamba-dense",)),
    "lfm2": Entry("lfm2:Lfm2", "LFM2", ("archs/lfm2-dense",)),
    "nemotron_h": Entry(
        "nemotron_h:NemotronH", "Nemotron-H, Nemotron Nano 2", ("archs/nemotron_h-dense",)
    ),
    "nemotron_h_moe": Entry(
        "nemotron_h:NemotronH", "Nemotron 3 Nano and Super", ("archs2/nemotron_h_moe-dense",)
    ),
}
