"""URLs and repository names that users give for models, and the commands that download them."""

import re
import shlex
from dataclasses import dataclass
from urllib.parse import unquote

USUAL_QUANTIZATIONS = ("q4_k_m", "q8_0")  # the default for a repository, as in llama.cpp
REPOSITORY = re.compile(r"(?!\.)[\w.-]+/[\w.-]+(?<!\.gguf)(:[\w.-]+)?", re.IGNORECASE)
REPOSITORY_FILE = re.compile(
    r"(?!\.)(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[^:]+\.gguf)", re.IGNORECASE
)
HUB = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:(?://)?)"
    r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<quantization>[\w.-]+))?"
    r"(?:/(?:(?:blob|resolve|raw|tree)/(?P<revision>[^/?#]+))?/?(?P<file>[^?#]*))?(?:[?#].*)?",
    re.IGNORECASE,
)
OLLAMA = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:registry\.)?ollama\.(?:com|ai)/(?:library/)?|ollama:(?://)?)"
    r"(?P<model>[\w.-]+(?:/[\w.-]+)?(?::[\w.-]+)?)/?",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address: the model's name in the caches, and a hint how to get it."""

    name: str | None
    cure: str


def parse_address(text: str) -> Address | None:
    """None for a path or a plain name."""
    if hub := HUB.fullmatch(text):
        repo, quantization, file = hub["repo"], hub["quantization"] or "", hub["file"] or ""
        name = f"{repo}/{file}" if file else f"{repo}:{quantization}".rstrip(":")
        return Address(name, f"fetch it first: {pull_command(repo, file, quantization)}")
    if ollama := OLLAMA.fullmatch(text):
        return Address(ollama["model"], f"fetch it first: ollama pull {ollama['model']}")
    if not ADDRESS.fullmatch(text):
        return None
    kind, _, rest = text.partition("://")
    if kind.lower() == "file":
        return Address(None, f"give the path alone: {shlex.quote(rest)}")
    path = re.split("[?#]", rest)[0]
    if kind.lower() in ("http", "https") and path.lower().endswith(".gguf"):
        name = unquote(path.rpartition("/")[2])
        return Address(name, f"fetch it first: lepton pull {shlex.quote(text)}")
    return Address(None, "a model is a GGUF file on this disk: `lepton models` lists them")


def pull_command(repo: str, file: str = "", quantization: str = "") -> str:
    """The command that downloads a model from Hugging Face."""
    name = f"{repo}/{file}" if file else f"{repo}:{quantization}".rstrip(":")
    return f"lepton pull {shlex.quote(name)}"


def quantization_pattern(quantization: str) -> re.Pattern[str]:
    """Finds it in a file's name in lower case: Q4_K is not in Q4_K_M."""
    return re.compile(rf"(?<![a-z0-9]){re.escape(quantization.lower())}(?![a-z0-9_])")
