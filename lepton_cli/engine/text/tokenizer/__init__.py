"""Tokenizers, built from a GGUF file's own metadata."""

from lepton_cli.engine.text.tokenizer.build import build_tokenizer
from lepton_cli.engine.text.tokenizer.tokenizer import Tokenizer

__all__ = ["Tokenizer", "build_tokenizer"]
