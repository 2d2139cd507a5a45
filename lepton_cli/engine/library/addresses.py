"""URLs and repository names that users give for models, and the commands that download them."""

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

USUAL_QUANTIZATIONS = ("q4_k_m", "q8_0")  # the default for a repository, as in llama.cpp
REPOSITORY = re.compile(r"(?!\.)[\w.-]+/[\w.-]+(?<!\.gguf)(:[\w.-]+)?", re.IGNORECASE)
HUB = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:(?://)?)"
    r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<quantization>[\w.-]+))?"
    r"(?:/(?:(?:blob|resolve|raw|tree)/[^/?#]+)?/?(?P<file>[^?#]*))?(?:[?#].*)?",
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
        return Address(name, f"fetch it first: {download(repo, file, quantization)}")
    if ollama := OLLAMA.fullmatch(text):
        return Address(ollama["model"], f"fetch it first: ollama pull {ollama['model']}")
    if not ADDRESS.fullmatch(text):
        return None
    kind, _, rest = text.partition("://")
    if kind.lower() == "file":
        return Address(None, f"give the path alone: {shlex.quote(rest)}")
    if kind.lower() in ("http", "https") and rest.partition("?")[0].lower().endswith(".gguf"):
        return Address(None, f"fetch it first: curl -LO {shlex.quote(text)}")
    return Address(None, "a model is a GGUF file on this disk: `lepton models` lists them")


def download(repo: str, file: str = "", quantization: str = "") -> str:
    """The command that downloads the file, or the default quantization, from Hugging Face."""
    wanted = quantization or USUAL_QUANTIZATIONS[0].upper()
    what = shlex.quote(file) if file else f"--include '*{wanted}*.gguf'"
    return f"{_hf()} download {repo} {what}"


def _hf() -> str:
    """The `hf` program as it can be typed here.

    It is installed with Lepton, perhaps into a virtual environment that is not activated.
    """
    beside = Path(sys.executable).with_name("hf.exe" if sys.platform == "win32" else "hf")
    if shutil.which("hf") or not beside.is_file():
        return "hf"
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))
