"""A model's tokenizer as keys: SentencePiece, byte pairs, WordPiece."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gguf
from sentencepiece import SentencePieceProcessor

from lepton_cli.engine.converting.folder import ModelFolder
from lepton_cli.engine.converting.pretokenizer import pretokenizer_name
from lepton_cli.engine.text.tokenizer.vocabulary import TokenType
from quant.errors import ModelFileError, UsageError

MAX_TOKENS = 1 << 22
ADDED_SCORE, UNUSED_SCORE = -1000.0, -10000.0
BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")
SPACE = "\u2581"
SPECIAL = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}  # which some models do not mark as special
BROKEN = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
"""What values of other types than expected raise."""
MISSING = "download tokenizer.json or tokenizer.model into the folder"


class Token(NamedTuple):
    text: str
    type: TokenType
    score: float = 0.0


def write_vocabulary(
    folder: ModelFolder, writer: gguf.GGUFWriter, *, space_prefix: bool | None
) -> int:
    """Adds all keys of the tokenizer; returns the number of its tokens.

    `space_prefix`: whether a space is put before a text, where the architecture says so. Raises
    UsageError for a folder without tokenizer, ModelFileError for a kind that is not supported.
    """
    size = folder.config.integer("vocab_size", default=0)
    if size > MAX_TOKENS:
        raise folder.config.wrong("vocab_size", f"is {size}")
    if (folder.path / "tokenizer.model").is_file():
        return _write_pieces(folder, writer, _sentence_pieces(folder, size), space_prefix)
    described = folder.json("tokenizer.json")
    if not described:
        raise UsageError(f"{folder.path} has no tokenizer", MISSING)
    found = described.get("model")
    model = found if isinstance(found, dict) else {}
    match model.get("type"):
        case "BPE" if model.get("byte_fallback"):
            scores, prefix = _piece_rules(folder, described)
            tokens = _numbered(folder, described, size, scores)
            chosen = prefix if space_prefix is None else space_prefix
            return _write_pieces(folder, writer, tokens, chosen)
        case "BPE":
            return _write_byte_pairs(folder, writer, _numbered(folder, described, size))
        case "WordPiece":
            return _write_word_pieces(folder, writer, described, size)
    message = f"{folder.path / 'tokenizer.json'}: the tokenizer's type is {model.get('type')!r:.40}"
    raise ModelFileError(message, "known types: BPE, WordPiece, and tokenizer.model")


def _write_pieces(
    folder: ModelFolder,
    writer: gguf.GGUFWriter,
    tokens: Sequence[Token],
    space_prefix: bool | None,
) -> int:
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token.text for token in tokens])
    writer.add_token_scores([token.score for token in tokens])
    writer.add_token_types([int(token.type) for token in tokens])
    if space_prefix is not None:
        writer.add_add_space_prefix(space_prefix)
    _write_special(folder, writer, len(tokens))
    return len(tokens)


def _write_byte_pairs(folder: ModelFolder, writer: gguf.GGUFWriter, tokens: Sequence[Token]) -> int:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pretokenizer_name(folder.path / "tokenizer.json"))
    writer.add_token_list([token.text for token in tokens])
    writer.add_token_types([int(token.type) for token in tokens])
    _write_special(folder, writer, None, merges=True)
    return len(tokens)


def _write_word_pieces(
    folder: ModelFolder, writer: gguf.GGUFWriter, described: dict[str, Any], size: int
) -> int:
    """Words begin with a mark instead of their continuations; keys say how text is normalised."""
    tokens = _numbered(folder, described, size)
    writer.add_token_type_count(folder.config.integer("type_vocab_size", default=1))
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre(pretokenizer_name(folder.path / "tokenizer.json", "bert-bge"))
    writer.add_token_list([_as_word(token) for token in tokens])
    writer.add_token_types([int(token.type) for token in tokens])
    normalizer = described.get("normalizer") or {}
    for name in ("lowercase", "strip_accents"):
        if isinstance(normalizer.get(name), bool):
            writer.add_bool(f"tokenizer.ggml.normalizer.{name}", normalizer[name])
    _write_special(folder, writer, len(tokens))
    return len(tokens)


def _as_word(token: Token) -> str:
    if token.type == TokenType.CONTROL:
        return token.text
    return token.text[2:] if token.text.startswith("##") else SPACE + token.text


def _write_special(
    folder: ModelFolder, writer: gguf.GGUFWriter, count: int | None, *, merges: bool = False
) -> None:
    """The ids of special tokens, which are added to a text, and the chat template."""
    try:
        special = gguf.SpecialVocab(folder.path, load_merges=merges, n_vocab=count)
        special.add_to_gguf(writer, quiet=True)
    except BROKEN as error:
        message = f"{folder.path}: the tokenizer's files do not belong together ({error})"
        raise ModelFileError(message, "download them again") from error


def _sentence_pieces(folder: ModelFolder, size: int) -> list[Token]:
    path = folder.path / "tokenizer.model"
    pieces = SentencePieceProcessor()
    try:
        pieces.LoadFromFile(str(path))
        texts = [pieces.IdToPiece(number) for number in range(pieces.vocab_size())]
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        message = f"{path} is no SentencePiece model"
        raise ModelFileError(message, "download it again") from error
    tokens = _padding(size or len(texts), UNUSED_SCORE)
    for number, text in enumerate(texts[: len(tokens)]):
        tokens[number] = Token(text, _piece_type(pieces, number), pieces.GetScore(number))
    try:
        added = dict(_added(folder))
    except BROKEN as error:
        message = f"{folder.path}: its added tokens cannot be read"
        raise ModelFileError(message, "download tokenizer_config.json again") from error
    for number, token in added.items():
        if number < len(tokens):
            tokens[number] = token
    return tokens


def _piece_type(pieces: SentencePieceProcessor, number: int) -> TokenType:
    if pieces.IsUnknown(number):
        return TokenType.UNKNOWN
    if pieces.IsControl(number):
        return TokenType.CONTROL
    if pieces.IsUnused(number):
        return TokenType.UNUSED
    return TokenType.BYTE if pieces.IsByte(number) else TokenType.NORMAL


def _added(folder: ModelFolder) -> Iterator[tuple[int, Token]]:
    """What was added to a SentencePiece model's tokens, or is of another type than there."""
    for text, number in folder.json("added_tokens.json").items():
        yield int(number), Token(text, TokenType.USER_DEFINED, ADDED_SCORE)
    decoder = folder.json("tokenizer_config.json").get("added_tokens_decoder", {})
    for number, entry in decoder.items():
        if int(number) < 0:
            raise ValueError(number)
        yield int(number), _added_token(entry)


def _added_token(entry: dict[str, Any]) -> Token:
    text = str(entry["content"])
    if entry.get("special") or _looks_special(text):
        return Token(text, TokenType.CONTROL, ADDED_SCORE)
    return Token(text.replace(SPACE, " "), TokenType.USER_DEFINED, ADDED_SCORE)


def _looks_special(text: str) -> bool:
    enclosed = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))
    return text in SPECIAL or any(text.startswith(a) and text.endswith(b) for a, b in enclosed)


def _padding(count: int, score: float = 0.0) -> list[Token]:
    return [Token(f"[PAD{number}]", TokenType.UNUSED, score) for number in range(count)]


def _numbered(
    folder: ModelFolder,
    described: dict[str, Any],
    size: int,
    scores: dict[str, float] | None = None,
) -> list[Token]:
    """The tokens of tokenizer.json by id, up to the vocabulary's size. Raises ModelFileError."""
    path = folder.path / "tokenizer.json"
    try:
        vocabulary = {str(text): int(id_) for text, id_ in described["model"]["vocab"].items()}
        added = {int(each["id"]): _added_token(each) for each in described.get("added_tokens", ())}
    except BROKEN as error:
        message = f"{path}: its vocabulary cannot be read"
        raise ModelFileError(message, "download it again") from error
    last = max((*vocabulary.values(), *added), default=-1)
    if not 0 <= last < (size or MAX_TOKENS):
        message = (
            f"{path}: the last token has the number {last}, config.json's vocab_size is {size}"
        )
        raise ModelFileError(message, "use the tokenizer of this model")
    tokens = _padding(size or last + 1, UNUSED_SCORE)
    for text, number in vocabulary.items():
        kind = TokenType.BYTE if scores and BYTE.fullmatch(text) else TokenType.NORMAL
        tokens[number] = Token(text, kind, scores.get(text, 0.0) if scores else 0.0)
    for number, token in added.items():
        tokens[number] = token
    return tokens


def _piece_rules(folder: ModelFolder, described: dict[str, Any]) -> tuple[dict[str, float], bool]:
    """The scores of merges, and whether a space is put before a text. Raises ModelFileError."""
    try:
        return _merge_scores(described["model"]), _prepends(described)
    except BROKEN as error:
        message = f"{folder.path / 'tokenizer.json'}: its merges or its normalizer cannot be read"
        raise ModelFileError(message, "download it again") from error


def _merge_scores(model: dict[str, Any]) -> dict[str, float]:
    """Earlier merges have higher scores, so that SentencePiece's rule makes the same merges."""
    pairs = (
        pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model.get("merges", ())
    )
    scores: dict[str, float] = {}
    for rank, pair in enumerate(pairs):
        scores.setdefault("".join(pair), -float(rank))
    return scores


def _prepends(described: dict[str, Any]) -> bool:
    """Whether a space is put before a text: by the normalizer, or by the pre-tokenizer."""
    normalizer, before = described.get("normalizer") or {}, described.get("pre_tokenizer") or {}
    steps = [*normalizer.get("normalizers", [normalizer]), *before.get("pretokenizers", [before])]
    return any(
        step.get("type") == "Prepend"
        or (step.get("type") == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )
