"""Files that are called .gguf and are something else: each is named, with what to do about it."""

import gzip

import pytest

from quant.errors import ModelFileError
from quant.gguf import GGUF

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 4920734272\n"


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (POINTER, "a git-lfs pointer for a file of 4920734272 bytes", "lfs pull -I 'a b.gguf'"),
        (b"<!DOCTYPE html>\n<html>", "a web page", "not the page"),
        (b"\n <!-- x -->\n<HTML lang=en>", "a web page", "not the page"),
        (b"<?xml version='1.0'?><Error>", "a web page", "not the page"),
        (b'{"error": "Repository not found"}', 'JSON (it begins with "{"error"', "lepton models"),
        (b"hello\n\tthere", 'text (it begins with "hello there")', "lepton models"),
        ("\ufeffgrüße\r\n".encode(), 'text (it begins with "grüße")', "lepton models"),
        (("é" * 3000).encode()[:4095], "text", "lepton models"),
        (b"PK\3\4" + bytes(26) + b"archive/data.pkl", "a PyTorch checkpoint", "convert"),
        (b"PK\3\4" + bytes(26) + b"notes.txt", "a zip archive", "unzip '"),
        (b"\x80\x02\x8a\nl\xfc", "a PyTorch checkpoint", "convert"),
        (b"\x40" + bytes(7) + b'{"__metadata__":', "a safetensors file", "lepton convert"),
        (b"tjgg\3\0\0\0", "a GGML file, the format before GGUF", "lepton models"),
        (b"lmgg" + bytes(9), "a GGML file, the format before GGUF", "lepton models"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "convert"),
        (gzip.compress(b"GGUF", mtime=0), "compressed with gzip", "gzip -dc '"),
        (b"a.gguf".ljust(257, b"\0") + b"ustar\x0000", "a tar archive", "tar -xf '"),
        (bytes(9000), "only zeros (an unfinished download?)", "fetch it again"),
        (
            b"\xde\xad\xbe\xef\0\1",
            "not a GGUF file (it begins with the bytes de ad be ef)",
            "lepton",
        ),
        (b"", "the file is empty", "lepton models"),
        (b"GGUF\3\0\0\0\1\0", "it ends inside the number of tensors", "cut short"),
    ],
)
def test_a_file_that_is_not_a_gguf_is_reported_for_what_it_is(tmp_path, content, message, hint):
    path = tmp_path / "a b.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        GGUF.open(path)
    assert message in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")
    assert hint in (caught.value.hint or "")
    assert caught.value.exit_code == 3
