"""Granite, and what has its multipliers."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "granite": Entry("granite:Granite", "Granite 3", ("archs/granite-dense", "archs/granite-moe")),
    "granitemoe": Entry(
        "granite:GraniteMoe", "Granite 3 with experts", ("archs2/granitemoe-dense",)
    ),
    "graniteswitch": Entry("graniteswitch:GraniteSwitch", "Granite with switched adapters"),
    "granite_swa": Entry("granite:GraniteSwa", "Granite 4 with local layers"),
    "minicpm": Entry(
        "minicpm:MiniCpm", "MiniCPM 1, 2", ("archs/minicpm-dense", "archs2/minicpm-moe")
    ),
}
