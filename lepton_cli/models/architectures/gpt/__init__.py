"""GPT-2 and the line of its design: layer norms, biases, two matrices without a gate."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "gpt2": Entry("gpt2:Gpt2", "GPT-2", ("archs/gpt2-dense",)),
}
