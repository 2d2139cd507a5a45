"""Mixtures of experts that belong to no line of dense models."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "gpt-oss": Entry("gpt_oss:GptOss", "gpt-oss", ("archs/gpt-oss-moe",)),
}
