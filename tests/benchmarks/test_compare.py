"""A comparison says how llama.cpp was built, and gives no ratio where it failed."""

import json
import os
from pathlib import Path

import compare
import pytest
from peer import Build, LlamaProcess, PeerError, enabled

from lepton_cli.engine.measure.workload import Trial

SYSTEM = "CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | FMA = 1 | LLAMAFILE = 1 | REPACK = 1 | "
BUILD = {"version": "1.2.3", "system": SYSTEM}
ILLEGAL = "kill -ILL $$"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the peer is a shell script")


def peer(folder: Path, command: str) -> str:
    """An interpreter whose llama.cpp tells its build and runs `command` for everything else."""
    program = folder / "python"
    build = f"case \"$2\" in build) echo '{json.dumps(BUILD)}'; exit;; esac"
    program.write_text(f"#!/bin/sh\n{build}\n{command}\n")
    program.chmod(0o755)
    return str(program)


def test_a_build_without_the_cpus_instructions_is_told():
    build = Build("llama.cpp", enabled(SYSTEM))
    assert build.instructions == ("SSE3", "AVX2", "FMA", "LLAMAFILE", "REPACK")
    assert build.lacks({"avx2", "fma", "avx512f", "amx-int8"}) == ["AVX512", "AMX_INT8"]
    assert build.lacks({"avx2"}) == []
    assert Build("llama-bench 1", None).lacks({"avx2"}) == []


def test_a_peer_that_crashes_is_named_by_its_signal(tmp_path: Path):
    python = peer(tmp_path, "read line; " + ILLEGAL)
    with LlamaProcess(python, "serve", tmp_path / "m.gguf", 1, 64) as process:
        with pytest.raises(PeerError, match="ended by SIGILL"):
            process.seconds(Trial(4, 0, 0))
        with pytest.raises(PeerError, match="ended by SIGILL"):  # asked again
            process.seconds(Trial(4, 0, 0))


def test_a_peer_that_answers_gives_its_seconds(tmp_path: Path):
    python = peer(tmp_path, "while read line; do echo '{\"seconds\": 0.5}'; done")
    with LlamaProcess(python, "serve", tmp_path / "m.gguf", 1, 64) as process:
        assert process.seconds(Trial(4, 0, 0)) == 0.5


@pytest.mark.parametrize("command", [ILLEGAL, "exit 3"])
def test_no_ratio_is_printed_where_the_peer_failed(tmp_path, capsys, monkeypatch, command):
    monkeypatch.setattr(compare, "speeds", lambda model, given: iter(()))
    monkeypatch.setattr(compare, "wait_for_quiet", lambda: None)
    record = tmp_path / "samples.json"
    words = ["m.gguf", "--python", peer(tmp_path, command), "--json", str(record)]
    with pytest.raises(SystemExit) as ended:
        compare.main(words)
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "llama-cpp-python 1.2.3, built for SSE3, AVX2, FMA" in shown
    how = "was ended by SIGILL" if command == ILLEGAL else "ended with exit code 3"
    assert f"| m.gguf | start | llama.cpp {how} | | no ratio | |" in shown
    assert json.loads(record.read_text())["rows"] == []


def test_an_interpreter_without_llama_cpp_is_one_line(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(SystemExit, match="exit code 1; --python names an interpreter"):
        compare.main(["m.gguf", "--python", str(program)])
