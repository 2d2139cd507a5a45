"""Kills batches and chats (SIGKILL) at random moments, and continues them.

Each victim is killed and begun again until it ends by itself; what it leaves is then compared with
what one that nobody kills leaves.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lepton_cli.engine.chat.autosave import read_session

ROWS = [{"id": n, "prompt": f"Tell me a story about {n % 9} cats."} for n in range(60)]
QUESTIONS = [f"Tell me a story about {n} dogs.\n" for n in range(10)]  # they fit into the context
CHAT = (
    '{"format": "lepton-session", "version": 1}\n'
    '{"turn": "aa", "after": null, "role": "user", "content": "hi"}\n'
    '{"turn": "bb", "after": "aa", "role": "assistant", "content": "Hello!", "finish": "stop"}\n'
    '{"at": "bb", "time": 1784812345, "model": "tiny", "file": "/none/model.gguf"}\n'
)
LEPTON = (sys.executable, "-m", "lepton_cli")
SETTINGS = ("--backend", "cpu", "-s", "1")
ROOT = Path(__file__).parents[2]


class Batch:
    """Existing results stay, perhaps at another position: they are sorted at the end."""

    name = "batches"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        self.file, self.folder = folder / "out.jsonl", folder

    def command(self) -> list[str]:
        return [*LEPTON, "batch", "builtin", "rows.jsonl", "-n", "40", "-o", "out.jsonl", *SETTINGS]

    def stdin(self) -> str:
        return ""

    def result(self) -> str:
        return self.file.read_text()


class Chat:
    """A saved chat that is continued from a pipe; existing turns stay."""

    name = "chats"

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state" / "lepton" / "sessions" / "hi.jsonl"
        self.file.parent.mkdir(parents=True, mode=0o700)
        self.file.write_text(CHAT)
        self.file.chmod(0o600)
        self.folder = folder

    def command(self) -> list[str]:
        return [*LEPTON, "chat", "builtin", "--resume", "hi", "-n", "60", *SETTINGS]

    def stdin(self) -> str:
        """The questions that are not answered yet."""
        answered = sum(role == "assistant" for role, _ in self._turns()) - 1
        return "".join(QUESTIONS[answered:])

    def result(self) -> str:
        return json.dumps(self._turns())

    def _turns(self) -> list[tuple[str, str]]:
        turns = read_session(self.file).conversation.turns
        return [(turn.message.role, turn.message.content) for turn in turns]


Victim = Batch | Chat


@dataclass(slots=True)
class Tally:
    kills: int = 0
    ended: int = 0  # compared with an undisturbed run


def killed(
    kind: type[Victim], kills: int, random: Random, folder: Path, findings: Path
) -> tuple[Tally, list[str]]:
    """Stores differences in `findings`. Raises RuntimeError if an undisturbed run fails."""
    folder.mkdir()
    begin = time.monotonic()
    whole = kind(folder / "whole")
    _to_the_end(whole)
    seconds, tally, found = time.monotonic() - begin, Tally(), list[str]()
    while tally.kills < kills:
        victim, before = kind(folder / f"victim-{tally.ended}"), b""
        while tally.kills < kills and _strike(victim, random.uniform(0.2, 1.0) * seconds):
            tally.kills += 1
            after = victim.file.read_bytes() if victim.file.exists() else b""
            if set(before.split(b"\n")) - set(after.split(b"\n")):  # their order may change
                found.append(_kept(findings, victim, {"before": before, "after": after}))
            before = after[: after.rfind(b"\n") + 1]
        _to_the_end(victim)
        tally.ended += 1
        if victim.result() != whole.result():
            texts = {"killed": victim.file.read_bytes(), "never-killed": whole.file.read_bytes()}
            found.append(_kept(findings, victim, texts))
    return tally, found


def _kept(findings: Path, victim: Victim, texts: Mapping[str, bytes]) -> str:
    """Writes two file contents that should be equal; returns the message about them."""
    findings.mkdir(parents=True, exist_ok=True)
    names = [f"{victim.name}-{victim.folder.name}-{what}{victim.file.suffix}" for what in texts]
    for name, text in zip(names, texts.values(), strict=True):
        (findings / name).write_bytes(text)
    return f"{' and '.join(names)} in {findings} differ"


def _strike(victim: Victim, seconds: float) -> bool:
    """Whether it was killed before its end."""
    process = _started(victim)
    try:
        process.communicate(victim.stdin().encode(), seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def _to_the_end(victim: Victim) -> None:
    process = _started(victim)
    _, err = process.communicate(victim.stdin().encode())
    if process.returncode:
        raise RuntimeError(f"{victim.command()}: exit {process.returncode}: {err.decode()}")


def _started(victim: Victim) -> subprocess.Popen[bytes]:
    state = str(victim.folder / "state")
    return subprocess.Popen(
        victim.command(),
        cwd=victim.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": state},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
