"""Llama and its relatives."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "arcee": Entry("arcee:Arcee", "AFM"),
    "baichuan": Entry("baichuan:Baichuan", "Baichuan 1 and 2"),
    "bitnet": Entry("bitnet:BitNet", "BitNet b1.58"),
    "deci": Entry("deci:Deci", "Llama 3.x Nemotron Super and Ultra", ("archs2/deci-dense",)),
    "internlm2": Entry("llama:Llama", "InternLM 2 and 2.5", ("archs/internlm2-dense",)),
    "llama": Entry(
        "llama:Llama",
        "Llama 1 to 3, Mistral, Mixtral, Yi, SmolLM",
        (
            *("archs/llama-dense", "archs/llama-moe"),
            *("more/rope-linear", "more/rope-llama3", "more/rope-yarn"),
        ),
    ),
    "llama4": Entry("llama4:Llama4", "Llama 4 Scout and Maverick (text)", ("archs2/llama4-moe",)),
    "maincoder": Entry("maincoder:Maincoder", "Maincoder"),
    "mistral3": Entry(
        "mistral3:Mistral3",
        "Mistral Small 3, Devstral, Ministral 3",
        ("archs/mistral3-dense", "archs2/mistral3-moe", "more/rope-mistral3"),
    ),
    "nanbeige": Entry("nanbeige:Nanbeige", "Nanbeige", ("archs2/nanbeige-dense",)),
    "refact": Entry("refact:Refact", "Refact", ("archs2/refact-dense",)),
    "smollm3": Entry("smollm3:SmolLm3", "SmolLM 3", ("archs/smollm3-dense",)),
    "xverse": Entry("llama:Llama", "XVERSE"),
}
