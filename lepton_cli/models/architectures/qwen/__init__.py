"""Qwen."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "qwen": Entry("qwen:Qwen", "Qwen 1", ("archs2/qwen-dense",)),
    "qwen2": Entry("qwen2:Qwen2", "Qwen 1.5 to 2.5", ("archs/qwen2-dense",)),
    "qwen2moe": Entry("qwen2:Qwen2Moe", "Qwen 1.5 and 2 with experts", ("archs/qwen2moe-moe",)),
    "qwen2vl": Entry("qwen2:Qwen2Vl", "Qwen 2 and 2.5 VL (text)", ("archs2/qwen2vl-dense",)),
    "qwen3": Entry("qwen3:Qwen3", "Qwen 3", ("archs/qwen3-dense",)),
    "qwen3moe": Entry("qwen3:Qwen3", "Qwen 3 with experts", ("archs/qwen3moe-moe",)),
    "qwen3tts": Entry("qwen3:Qwen3Vl", "Qwen 3 TTS (codes)", ("archs2/qwen3tts-dense",)),
    "qwen3vl": Entry("qwen3:Qwen3Vl", "Qwen 3 VL (text)", ("archs2/qwen3vl-dense",)),
    "qwen35": Entry("qwen35:Qwen35", "Qwen 3.5", ("archs/qwen35-dense", "more/qwen35")),
    "qwen35moe": Entry(
        "qwen35:Qwen35",
        "Qwen 3.5 and 3.6 with experts",
        ("archs/qwen35moe-moe", "more/qwen35moe"),
    ),
    "qwen3next": Entry(
        "qwen3next:Qwen3Next",
        "Qwen3-Next",
        ("archs2/qwen3next-moe", "more/qwen3next"),
    ),
    "qwen4exp": Entry("qwen4exp:Qwen4Exp", "Qwen 4 (experimental)"),
    "qwen3vlmoe": Entry("qwen3:Qwen3Vl", "Qwen 3 VL with experts (text)"),
}
