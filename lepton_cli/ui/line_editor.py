"""Where a person types: multi-line, with history, search, completion and a meter below the line."""

from collections.abc import Iterable, Iterator
from itertools import chain

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth, create_output
from prompt_toolkit.application import get_app

from lepton_cli.engine.paths import private_file, state_folder
from lepton_cli.ui.commands import COMMANDS, find_command
from lepton_cli.ui.dialogue import Dialogue, Draft
from lepton_cli.ui.terminal import sanitize, uses_color
from quant.errors import UsageError

BLOCK = '"""'
