"""GLM."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "chatglm": Entry("glm:ChatGlm", "ChatGLM 3, GLM-4-9B, GLM-Edge", ("archs2/chatglm-dense",)),
    "glm4moe": Entry("glm:Glm4Moe", "GLM 4.5 to 4.7, Solar Open"),
    "glm4": Entry("glm:Glm4", "GLM-4-0414, GLM-4V, GLM-OCR (text)", ("archs/glm4-dense",)),
}
