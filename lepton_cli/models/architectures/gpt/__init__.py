"""GPT-2 and the line of its design: layer norms, biases, two matrices without a gate."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "bloom": Entry("bloom:Bloom", "BLOOM", ("archs/bloom-dense",)),
    "codeshell": Entry("starcoder2:CodeShell", "CodeShell"),
    "gpt2": Entry("gpt2:Gpt2", "GPT-2", ("archs/gpt2-dense",)),
    "jais": Entry("jais:Jais", "Jais 13B and 30B"),
    "jais2": Entry("nemotron:Nemotron", "Jais 2"),
    "mpt": Entry("mpt:Mpt", "MPT, Replit", ("archs/mpt-dense",)),
    "nemotron": Entry("nemotron:Nemotron", "Nemotron 3 and 4, Minitron", ("archs/nemotron-dense",)),
    "orion": Entry("orion:Orion", "Orion"),
    "pockettts": Entry("starcoder2:PocketTts", "PocketTTS (text)", ("archs2/pockettts-dense",)),
    "starcoder": Entry("gpt2:Gpt2", "SantaCoder, StarCoder 1"),
    "starcoder2": Entry("starcoder2:StarCoder2", "StarCoder 2", ("archs/starcoder2-dense",)),
}
