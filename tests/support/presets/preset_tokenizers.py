"""Tokenizers of the tiny models: SentencePiece, byte-level BPE, WordPiece and Unigram."""

from typing import Any


def llama_tokenizer() -> dict[str, Any]:
    """SentencePiece: bytes, letters and a few words that merge; ChatML's two tokens."""
    words = ["▁t", "he", "▁the", "in", "▁a", "nd", "▁and", "er", "ou", "▁h", "▁w", "ll", "▁he"]
    words += ["llo", "▁hello", "▁you", "▁y", "or", "ld", "▁wor", "▁world", "is", "▁is"]
    letters = list("▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'-\n")
    pieces = words + letters
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*special, *pieces, "<|im_start|>", "<|im_end|>"],
        "tokenizer.ggml.scores": [*[0.0] * 259, *[-float(i) for i in range(len(pieces))], 0.0, 0.0],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(pieces), 3, 3],
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": True,
    }


def gpt2_tokenizer() -> dict[str, Any]:
    """Byte-level BPE: 256 bytes, a few merges, ChatML's two tokens."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(byte) for byte in plain] + [chr(0x100 + i) for i in range(256 - len(plain))]
    merges = ["h e", "l l", "Ġ t", "i n", "Ġt he", "ll o", "he llo", "Ġ a", "o r", "l d", "Ġ w"]
    words = [merge.replace(" ", "") for merge in merges]
    tokens = [*letters, *words, "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [*[1] * (len(tokens) - 3), 3, 3, 3],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": len(tokens) - 3,
        "tokenizer.ggml.eos_token_id": len(tokens) - 3,
        "tokenizer.ggml.add_bos_token": False,
    }


def bert_tokenizer() -> dict[str, Any]:
    """WordPiece: letters and digits at the start and within words, and a few whole words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-:"
    words = ["the", "and", "hello", "world", "query", "search", "document", "cat", "river"]
    tokens = [*special, *(f"▁{each}" for each in [*letters, *words]), *letters]
    tokens += [f"[unused{n}]" for n in range(256 - len(tokens))]  # tests use ids up to 250
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [*[3] * 5, *[1] * (len(tokens) - 5)],
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.mask_token_id": 4,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.token_type_count": 2,
    }


def t5_tokenizer() -> dict[str, Any]:
    """Unigram: letters and a few words."""
    words = ["▁the", "▁and", "▁hello", "▁world", "▁translate", "▁to", "▁is", "he", "ll", "or"]
    pieces = [*words, *"▁abcdefghijklmnopqrstuvwxyz0123456789.,!?'-:"]
    tokens = ["<pad>", "</s>", "<unk>", *pieces]
    more = [f"▁w{n}" for n in range(256 - len(tokens))]  # tests use ids up to 250
    return {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.tokens": [*tokens, *more],
        "tokenizer.ggml.scores": [0.0] * 3 + [-2.0] * len(words) + [-5.0] * (253 - len(words)),
        "tokenizer.ggml.token_type": [3, 3, 2, *[1] * 253],
        "tokenizer.ggml.unknown_token_id": 2,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": True,
    }
