"""Models that generate by masked diffusion: every token sees all others."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "dream": Entry("dream:Dream", "Dream 7B", ("archs2/dream-dense",)),
    "llada": Entry("llada:LLaDA", "LLaDA 8B", ("archs2/llada-dense",)),
    "llada-moe": Entry("llada:LLaDAMoe", "LLaDA with experts", ("archs2/llada-moe-moe",)),
    "rnd1": Entry("rnd1:Rnd1", "RND1", ("archs2/rnd1-moe",)),
}
