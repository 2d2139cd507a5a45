"""`lepton template`: shows the exact prompt that the chat template produces, or its faults."""

import sys

import typer

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.text.messages import Message
from lepton_cli.engine.text.template import ChatTemplate, load_template
from lepton_cli.engine.text.template_check import check_template
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.ui.arguments.options.chat import ConversationOptions
from lepton_cli.ui.arguments.settings import template_settings
from lepton_cli.ui.arguments.text_values import one_text
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit
from quant.gguf import GGUF


def show_prompt(name: str, prompt: str, talk: ConversationOptions) -> None:
    """Prints the prompt and a newline; the model is not loaded."""
    template, _ = _load(name, talk)
    system = one_text("--system-prompt", talk.system_prompt, talk.system_prompt_file)
    if template.note:
        note(template.note)
    messages = [Message("user", prompt)]
    if system is not None:
        messages.insert(0, Message("system", system))
    variables = Generation(**template_settings(talk)).template_variables
    segments = template.render(messages, enable_thinking=talk.think, variables=variables)
    emit(sys.stdout, "".join(segment.text for segment in segments) + "\n")


def show_faults(name: str, talk: ConversationOptions) -> None:
    """Prints a line for each fault and note. Raises typer.Exit with 1 if there is a fault."""
    findings = check_template(*_load(name, talk))
    for finding in findings:
        rank = "fault" if finding.is_fault else "note"
        emit(sys.stdout, f"{rank}: {finding.kind}: {finding.message}\n")
    if not findings:
        emit(sys.stdout, "no faults\n")
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(1)


def _load(name: str, talk: ConversationOptions) -> tuple[ChatTemplate, Tokenizer]:
    metadata = GGUF.open(resolve(name)).metadata
    chosen = one_text("--chat-template", talk.chat_template, talk.chat_template_file)
    tokenizer = build_tokenizer(metadata)
    return load_template(metadata, tokenizer, chosen), tokenizer
