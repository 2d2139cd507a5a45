"""Latent attention: DeepSeek's line, and others that took it over."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "bailingmoe3": Entry("bailingmoe3:BailingMoe3", "Ling 3", ("archs2/bailingmoe3-moe",)),
    "deepseek2": Entry(
        "deepseek2:DeepSeek2",
        "DeepSeek V2, V3, R1, Kimi K2, GLM-4.7-Flash, GigaChat 3",
        (
            "archs/deepseek2-moe",
            "more/deepseek2-glm",
            "more/deepseek2-lite",
            "more/deepseek2-yarn",
        ),
    ),
    "deepseek32": Entry("deepseek32:DeepSeek32", "DeepSeek V3.2", ("archs2/deepseek32-moe",)),
    "deepseek4": Entry("deepseek4:DeepSeek4", "DeepSeek V4"),
    "dots3note": Entry("dots3:Dots3", "dots 3"),
    "glm-dsa": Entry("deepseek32:GlmDsa", "GLM-5"),
    "glm5-next": Entry("glm5_next:Glm5Next", "GLM-5-Next"),
    "hy_v4": Entry("hy_v4:HyV4", "Hunyuan 4"),
    "kimi-k3": Entry("kimi_k3:KimiK3", "Kimi K3"),
    "kimi-linear": Entry("kimi:KimiLinear", "Kimi Linear", ("archs2/kimi-linear-moe",)),
    "minicpm3": Entry("minicpm3:MiniCpm3", "MiniCPM 3", ("archs2/minicpm3-dense",)),
    "mistral4": Entry("mistral4:Mistral4", "Mistral Large 3, Small 4", ("archs2/mistral4-moe",)),
    "plm": Entry("plm:Plm", "PLM 1.8B", ("more/plm",)),
}
