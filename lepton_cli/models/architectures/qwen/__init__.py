"""Qwen."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "qwen2": Entry("qwen2:Qwen2", "Qwen 1.5 to 2.5", ("archs/qwen2-dense",)),
    "qwen3": Entry("qwen3:Qwen3", "Qwen 3", ("archs/qwen3-dense",)),
    "qwen3moe": Entry("qwen3:Qwen3", "Qwen 3 with experts", ("archs/qwen3moe-moe",)),
}
