"""What the built-in model explains, from the list beside this file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Topic:
    """Verb phrases, noun phrases and whole questions that ask for one thing, and its answer."""

    verbs: str
    nouns: str
    answer: str
    asks: str = ""


LIST = Path(__file__).with_suffix(".toml")
TOPICS = tuple(Topic(**topic) for topic in tomllib.loads(LIST.read_text("utf-8"))["topics"])
