"""`lepton template`: shows the exact prompt that the chat template produces."""

import sys

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.text.messages import Message
from lepton_cli.engine.text.template import load_template
from lepton_cli.engine.text.tokenizer import build_tokenizer
from lepton_cli.ui.arguments.options.chat import ConversationOptions
from lepton_cli.ui.arguments.settings import template_settings
from lepton_cli.ui.arguments.text_values import one_text
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit
from quant.gguf import GGUF


def show_prompt(name: str, prompt: str, talk: ConversationOptions) -> None:
    """Prints the prompt and a newline; the model is not loaded."""
    metadata = GGUF.open(resolve(name)).metadata
    chosen = one_text("--chat-template", talk.chat_template, talk.chat_template_file)
    system = one_text("--system-prompt", talk.system_prompt, talk.system_prompt_file)
    template = load_template(metadata, build_tokenizer(metadata), chosen)
    if template.note:
        note(template.note)
    messages = [Message("user", prompt)]
    if system is not None:
        messages.insert(0, Message("system", system))
    variables = Generation(**template_settings(talk)).template_variables
    segments = template.render(messages, enable_thinking=talk.think, variables=variables)
    emit(sys.stdout, "".join(segment.text for segment in segments) + "\n")
