"""Gemma."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "gemma": Entry("gemma:Gemma", "Gemma", ("archs/gemma-dense",)),
    "gemma2": Entry("gemma2:Gemma2", "Gemma 2", ("archs/gemma2-dense",)),
    "gemma3": Entry("gemma3:Gemma3", "Gemma 3", ("archs/gemma3-dense",)),
    "gemma3n": Entry("gemma3n:Gemma3n", "Gemma 3n", ("more/gemma3n",)),
    "gemma4": Entry(
        "gemma4:Gemma4",
        "Gemma 4",
        ("more/gemma4-e2b", "more/gemma4-e4b", "more/gemma4-31b", "more/gemma4-26b-a4b"),
    ),
}
