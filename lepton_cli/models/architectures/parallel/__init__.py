"""Attention and feed-forward side by side, of the same input."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "cohere2": Entry("cohere:Cohere2", "Command R7B, Command A, Aya", ("archs/cohere2-dense",)),
    "cohere2moe": Entry("cohere:Cohere2Moe", "Command A with experts"),
    "command-r": Entry("cohere:CommandR", "Command R, Aya 23", ("archs/command-r-dense",)),
    "falcon": Entry("falcon:Falcon", "Falcon 1", ("archs/falcon-dense",)),
    "gptneox": Entry("gptneox:GptNeoX", "GPT-NeoX, Pythia", ("archs/gptneox-dense",)),
    "plamo": Entry("plamo:Plamo", "PLaMo 13B"),
    "stablelm": Entry("stablelm:StableLm", "StableLM", ("archs/stablelm-dense",)),
}
