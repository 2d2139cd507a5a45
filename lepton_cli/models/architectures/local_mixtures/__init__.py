"""Mixtures of experts in part of whose layers a token sees a window of positions."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "afmoe": Entry("afmoe:AfMoe", "Arcee Trinity"),
    "laguna": Entry("laguna:Laguna", "poolside Laguna"),
    "maple": Entry("maple:Maple", "Maple", ("archs2/maple-moe",)),
    "mellum": Entry("mellum:Mellum", "Mellum 2"),
    "mimo2": Entry("mimo2:MiMo2", "MiMo V2", ("archs2/mimo2-moe",)),
    "smallthinker": Entry(
        "smallthinker:SmallThinker", "SmallThinker", ("archs2/smallthinker-moe",)
    ),
    "step35": Entry("step35:Step35", "Step 3.5 and 3.7 Flash"),
}
