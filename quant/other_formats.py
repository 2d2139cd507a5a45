"""Identifies a file that is not GGUF by its first bytes, and says how to get a GGUF file."""

import re
import shlex
from pathlib import Path

HEAD_BYTES = 4096  # bytes
GET_MODEL = "`lepton models` lists models and the command that downloads each"
OLD_CONVERTER = "convert it with llama.cpp's convert_hf_to_gguf.py, or get the model as GGUF"
FETCH_FILE = f"fetch the file itself, not the page about it; {GET_MODEL}"
OLD_GGML = (b"lmgg", b"fmgg", b"tjgg", b"algg", b"nsgg")  # ggml, ggmf, ggjt, ggla, ggsn
ARCHIVES = (
    (b"\x1f\x8b", "gzip", "gzip -dc"),
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
)
PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|\?xml|error)\b", re.I | re.S)
LFS_SIZE = re.compile(rb"^size (\d+)$", re.M)


def describe(path: Path, head: bytes) -> tuple[str, str]:
    """A description of the file and a hint. `head`: its first `HEAD_BYTES` bytes, or all."""
    known = _pointer(path, head) or _container(path, head) or _text(head)
    if known is None:
        return f"not a GGUF file (it begins with the bytes {head[:4].hex(' ')})", GET_MODEL
    what, cure = known
    return f"not a GGUF file but {what}", cure


def _pointer(path: Path, head: bytes) -> tuple[str, str] | None:
    if not head.startswith(b"version https://git-lfs"):
        return None
    size = LFS_SIZE.search(head)
    stands_for = f" for a file of {int(size[1])} bytes" if size else ""
    folder, file = shlex.quote(str(path.parent)), shlex.quote(path.name)
    cure = f"fetch the file: git -C {folder} lfs pull -I {file}"
    return f"a git-lfs pointer{stands_for}", cure


def _container(path: Path, head: bytes) -> tuple[str, str] | None:
    file = shlex.quote(str(path))
    if head.startswith(b"PK\x03\x04"):
        if b"data.pkl" in head:
            return "a PyTorch checkpoint", OLD_CONVERTER
        return "a zip archive", f"unpack it: unzip {file}"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a PyTorch checkpoint (a pickle)", OLD_CONVERTER
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        folder = shlex.quote(str(path.parent))
        return "a safetensors file", f"convert its folder: lepton convert {folder} model.gguf"
    if head[:4] in OLD_GGML:
        return "a GGML file, the format before GGUF (August 2023)", GET_MODEL
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file", OLD_CONVERTER
    for magic, name, unpack in ARCHIVES:
        if head.startswith(magic):
            whole = shlex.quote(str(path.with_suffix(".unpacked.gguf")))
            return f"compressed with {name}", f"unpack it: {unpack} {file} > {whole}"
    if head[257:262] == b"ustar":
        return "a tar archive", f"unpack it: tar -xf {file}"
    return None


def _text(head: bytes) -> tuple[str, str] | None:
    if PAGE.match(head):
        return "a web page", FETCH_FILE
    if head.count(0) == len(head):
        return "only zeros (an unfinished download?)", "let the download finish, or fetch it again"
    text = head.decode("utf-8", "ignore")
    shown = text.translate(dict.fromkeys(map(ord, "\t\r\n\f\v\ufeff"), " "))
    if not shown.isprintable() or len(text.encode()) < len(head) - 3:  # a character may be cut
        return None
    kind = "JSON" if shown.lstrip()[:1] in ("{", "[") else "text"
    return f'{kind} (it begins with "{" ".join(shown.split())[:24]}")', GET_MODEL
