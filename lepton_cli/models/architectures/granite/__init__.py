"""Granite, and what has its multipliers."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "granite": Entry("granite:Granite", "Granite 3", ("archs/granite-dense",)),
    "minicpm": Entry("minicpm:MiniCpm", "MiniCPM 1 and 2", ("archs/minicpm-dense",)),
}
