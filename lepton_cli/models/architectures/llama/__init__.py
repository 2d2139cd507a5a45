"""Llama and its relatives."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "bitnet": Entry("bitnet:BitNet", "BitNet b1.58"),
    "llama": Entry(
        "llama:Llama",
        "Llama 1 to 3, Mistral, Mixtral, Yi, SmolLM",
        ("archs/llama-dense", "archs/llama-moe"),
    ),
    "mistral3": Entry("mistral3:Mistral3", "Mistral Small 3, Devstral", ("archs/mistral3-dense",)),
}
