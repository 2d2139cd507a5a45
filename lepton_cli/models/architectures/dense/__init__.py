"""Dense decoders that belong to no longer line."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "apertus": Entry("apertus:Apertus", "Apertus"),
    "chameleon": Entry("chameleon:Chameleon", "Chameleon (text)"),
    "cogvlm": Entry("cogvlm:CogVlm", "CogVLM, CogAgent (text)", ("archs2/cogvlm-dense",)),
    "ernie4_5": Entry("ernie4_5:Ernie45", "ERNIE 4.5 dense"),
    "ernie4_5-moe": Entry(
        "ernie4_5:Ernie45Moe", "ERNIE 4.5 with experts", ("archs/ernie4_5-moe-moe",)
    ),
    "exaone": Entry("exaone:Exaone", "EXAONE 3"),
    "exaone-moe": Entry("exaone:ExaoneMoe", "K-EXAONE"),
    "exaone4": Entry("exaone:Exaone4", "EXAONE 4", ("archs/exaone4-dense",)),
    "hrm_text": Entry("hrm_text:HrmText", "HRM-Text", ("archs2/hrm_text-dense",)),
    "hunyuan-dense": Entry("hunyuan:Hunyuan", "Hunyuan 0.5B to 7B", ("archs/hunyuan-dense-dense",)),
    "hunyuan-moe": Entry("hunyuan:HunyuanMoe", "Hunyuan A13B"),
    "hunyuan_vl": Entry("hunyuan:HunyuanVl", "Hunyuan OCR (text)", ("archs2/hunyuan_vl-dense",)),
    "muse-glimmer": Entry(
        "muse_glimmer:MuseGlimmer", "Muse-Glimmer", ("archs2/muse-glimmer-dense",)
    ),
    "olmo": Entry("olmo:Olmo", "OLMo 1"),
    "olmo2": Entry("olmo:Olmo2", "OLMo 2 and 3", ("archs/olmo2-dense",)),
    "olmoe": Entry("olmo:OlMoe", "OLMoE", ("archs/olmoe-moe",)),
    "openelm": Entry("openelm:OpenElm", "OpenELM", ("archs2/openelm-dense",)),
    "paddleocr": Entry("ernie4_5:PaddleOcr", "PaddleOCR VL (text)", ("archs2/paddleocr-moe",)),
    "pangu-embedded": Entry("exaone:Pangu", "openPangu Embedded", ("archs2/pangu-embedded-dense",)),
    "plamo3": Entry("plamo3:Plamo3", "PLaMo 3", ("archs2/plamo3-dense",)),
    "seed_oss": Entry("seed_oss:SeedOss", "Seed-OSS", ("archs/seed_oss-dense",)),
    "spark2_5": Entry("spark:Spark", "Spark 2.5", ("archs2/spark2_5-dense",)),
    "talkie": Entry("talkie:Talkie", "Talkie", ("archs2/talkie-dense",)),
}
