"""Encoders: every token sees its whole text, and a pass ends in a row for each.

T5 has a decoder behind its encoder.
"""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "bert": Entry(
        "bert:Bert",
        "BERT, BGE, E5, MiniLM, GTE, XLM-R",
        ("more/bert-cls", "more/bert-mean", "more/bert-rank"),
    ),
    "eurobert": Entry("eurobert:EuroBert", "EuroBERT, Jina v5"),
    "gemma-embedding": Entry(
        "gemma_embedding:GemmaEmbedding", "EmbeddingGemma", ("more/gemma-embedding",)
    ),
    "jina-bert-v2": Entry("jina_bert:JinaBertV2", "Jina v2, Jina code", ("more/jina-bert-v2",)),
    "jina-bert-v3": Entry("jina_bert:JinaBertV3", "Jina v3", ("more/jina-bert-v3",)),
    "llama-embed": Entry("llama_embed:LlamaEmbed", "Llama-Embed-Nemotron", ("more/llama-embed",)),
    "modern-bert": Entry(
        "modern_bert:ModernBert",
        "ModernBERT, Granite Embedding R2",
        ("more/modern-bert",),
    ),
    "neo-bert": Entry("neo_bert:NeoBert", "NeoBERT", ("more/neo-bert",)),
    "nomic-bert": Entry("nomic_bert:NomicBert", "Nomic Embed v1 and v1.5", ("more/nomic-bert",)),
    "nomic-bert-moe": Entry(
        "nomic_bert:NomicBertMoe", "Nomic Embed v2 (experts)", ("more/nomic-bert-moe",)
    ),
    "t5": Entry("t5:T5", "T5, Flan-T5, UMT5, MADLAD-400", ("more/t5",)),
    "t5encoder": Entry("t5:T5Encoder", "the encoders of T5", ("more/t5encoder",)),
}
