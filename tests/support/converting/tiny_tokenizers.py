"""Tokenizers of a few hundred tokens, in the files that transformers has."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "t"), ("Ġt", "he")]
TEXT = "the cat sat on the mat and the dog saw the cat run over to the old red barn"
CHAT = "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}"


def write_byte_pairs(folder: Path, pattern: str | None, *, ignore_merges: bool = False) -> int:
    """Of a pattern, or of GPT-2's without one; returns the number of tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    texts = [*letters, *("".join(pair) for pair in MERGES)]
    vocabulary = {text: number for number, text in enumerate(texts)}
    tokenizer = Tokenizer(models.BPE(vocabulary, MERGES, ignore_merges=ignore_merges))
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    tokenizer.add_tokens(["<tool>"])
    begin = tokenizer.token_to_id("<|begin|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A",
        pair="<|begin|> $A <|begin|> $B",
        special_tokens=[("<|begin|>", begin)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "chat_template": CHAT}
    write_json(folder / "tokenizer_config.json", tokens)
    return tokenizer.get_vocab_size()


def write_sentence_pieces(folder: Path) -> int:
    """SentencePiece's byte pairs with bytes for what is unknown, and an added token."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT] * 4),
        model_writer=model,
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    count = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()
    added = {str(count): {"content": "<|user|>", "special": True}}
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "added_tokens_decoder": added}
    write_json(folder / "tokenizer_config.json", tokens)
    return count + 1


def write_word_pieces(folder: Path) -> int:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    texts = [*special, *TEXT.split(), *(f"##{letter}" for letter in "aest"), "un"]
    vocabulary = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    added = [
        {"id": number, "content": text, "special": True, "normalized": False}
        for number, text in enumerate(special)
    ]
    described = {
        "version": "1.0",
        "added_tokens": [
            {**each, "single_word": False, "lstrip": False, "rstrip": False} for each in added
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }
    write_json(folder / "tokenizer.json", described)
    tokens = {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
    }
    write_json(folder / "tokenizer_config.json", tokens)
    return len(vocabulary)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
