"""Gemma."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "gemma": Entry("gemma:Gemma", "Gemma", ("archs/gemma-dense",)),
    "gemma2": Entry("gemma2:Gemma2", "Gemma 2", ("archs/gemma2-dense",)),
    "gemma3": Entry("gemma3:Gemma3", "Gemma 3", ("archs/gemma3-dense",)),
}
