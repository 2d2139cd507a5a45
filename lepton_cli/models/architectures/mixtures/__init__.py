"""Mixtures of experts that belong to no line of dense models."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "arctic": Entry("arctic:Arctic", "Snowflake Arctic"),
    "bailingmoe": Entry("bailing:BailingMoe", "Ling and Ring"),
    "bailingmoe2": Entry("bailing:BailingMoe2", "Ling and Ring 2"),
    "dbrx": Entry("dbrx:Dbrx", "DBRX", ("archs2/dbrx-moe",)),
    "deepseek": Entry("deepseek:DeepSeek", "DeepSeek MoE", ("archs2/deepseek-moe",)),
    "deepseek2-ocr": Entry("deepseek:DeepSeekOcr", "DeepSeek OCR (text)"),
    "dots1": Entry("dots1:Dots1", "dots.llm1"),
    "grok": Entry("grok:Grok", "Grok 1 and 2", ("archs2/grok-moe",)),
    "grovemoe": Entry("grovemoe:GroveMoe", "GroveMoE"),
    "hy_v3": Entry("hy_v3:HyV3", "Hunyuan 3", ("archs2/hy_v3-moe",)),
    "minimax-m3": Entry("minimax:MiniMaxM3", "MiniMax M3", ("archs2/minimax-m3-moe",)),
    "minimax-m2": Entry("minimax:MiniMaxM2", "MiniMax M2", ("archs2/minimax-m2-moe",)),
    "gpt-oss": Entry("gpt_oss:GptOss", "gpt-oss", ("archs/gpt-oss-moe",)),
}
