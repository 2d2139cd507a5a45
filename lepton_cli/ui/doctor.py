"""`lepton doctor`: what Lepton found on this machine, what it makes of it, and why."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lepton_cli import __version__
from lepton_cli.engine.paths import cache_folder, config_folder, state_folder
from lepton_cli.engine.stores import hugging_face_folder, llama_cpp_folder, ollama_folders
from lepton_cli.ui.config import config_path
from lepton_cli.ui.figures import columns, size
from lepton_cli.ui.output import Json, emit, emit_json
from ops.cpu.machine import available_memory, cpu_name, default_threads

SCHEMA = "lepton.doctor.v1"
LIBRARIES = ("numpy", "numba", "llvmlite", "tokenizers", "sentencepiece")

Finding = tuple[str, str, str]  # what, its value, why
