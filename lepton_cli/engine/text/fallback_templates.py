"""Built-in chat templates: for files without one, or that only name one of llama.cpp's.

Most formats only wrap each message in text, so they are data: the text with {} for the message.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The text around messages of each role, at the beginning, and before the next answer.

    {eos} is the vocabulary's EOS token. If a format has no system role, the system prompt is put
    before the first question.
    """

    user: str
    assistant: str
    prompt: str
    system: str = ""
    start: str = ""

    def jinja(self) -> str:
        roles = {"system": self.system, "user": self.user, "assistant": self.assistant}
        cases = [
            f"{{% {'elif' if number else 'if'} message.role == {role!r} %}}{_around(words)}"
            for number, (role, words) in enumerate(roles.items())
        ]
        loop = f"{{% for message in messages %}}{''.join(cases)}{{% endif %}}{{% endfor %}}"
        prompt = f"{{% if add_generation_prompt %}}{_literal(self.prompt)}{{% endif %}}"
        return _literal(self.start) + loop + prompt


def _around(words: str) -> str:
    if not words:
        return ""
    before, after = words.split("{}")
    return f"{_literal(before)}{{{{ message.content }}}}{_literal(after)}"


def _literal(words: str) -> str:
    eos = ".replace('{eos}', eos_token)" if "{eos}" in words else ""
    return f"{{{{ {words!r}{eos} }}}}" if words else ""


def _roles(before: str, between: str, after: str, *, start: str = "") -> Wrapping:
    """Formats that only differ in the name of the role."""

    def words(role: str) -> str:
        return f"{before}{role}{between}{{}}{after}"

    prompt = f"{before}assistant{between}"
    return Wrapping(words("user"), words("assistant"), prompt, words("system"), start)


LLAMA2 = """\
{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% endif %}\
{% for message in messages %}\
{% if message.role == 'user' %}\
{{ bos_token + '[INST] ' }}\
{% if system and loop.index0 == 1 %}{{ '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' }}{% endif %}\
{{ message.content + ' [/INST]' }}\
{% elif message.role == 'assistant' %}{{ ' ' + message.content + ' ' + eos_token }}{% endif %}\
{% endfor %}"""

HARMONY = Wrapping(
    start="<|start|>system<|message|>You are a helpful assistant.\n\n# Valid channels: analysis, "
    "commentary, final. Channel must be included for every message.<|end|>",
    system="<|start|>developer<|message|># Instructions\n\n{}<|end|>",
    user="<|start|>user<|message|>{}<|end|>",
    assistant="<|start|>assistant<|channel|>final<|message|>{}<|end|>",
    prompt="<|start|>assistant",
)

WRAPPINGS: Mapping[str, Wrapping] = {
    "chatml": _roles("<|im_start|>", "\n", "<|im_end|>\n"),
    "chatglm4": _roles("<|", "|>\n", "", start="[gMASK]<sop>"),
    "command-r": Wrapping(
        user="<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
        assistant="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
        prompt="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        system="<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
    ),
    "deepseek": Wrapping(
        user="### Instruction:\n{}\n",
        assistant="### Response:\n{}\n<|EOT|>\n",
        prompt="### Response:\n",
        system="{}",
    ),
    "deepseek2": Wrapping(
        user="User: {}\n\n",
        assistant="Assistant: {}<｜end▁of▁sentence｜>",
        prompt="Assistant:",
        system="{}\n\n",
    ),
    "deepseek3": Wrapping(
        user="<｜User｜>{}",
        assistant="<｜Assistant｜>{}<｜end▁of▁sentence｜>",
        prompt="<｜Assistant｜>",
        system="{}\n\n",
    ),
    "exaone3": Wrapping(
        user="[|user|]{}\n",
        assistant="[|assistant|]{}[|endofturn|]\n",
        prompt="[|assistant|]",
        system="[|system|]{}[|endofturn|]\n",
    ),
    "falcon3": _roles("<|", "|>\n", "\n"),
    "gemma": Wrapping(
        user="<start_of_turn>user\n{}<end_of_turn>\n",
        assistant="<start_of_turn>model\n{}<end_of_turn>\n",
        prompt="<start_of_turn>model\n",
    ),
    "gpt-oss": HARMONY,
    "granite": _roles("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n"),
    "llama3": _roles("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"),
    "llama4": _roles("<|header_start|>", "<|header_end|>\n\n", "<|eot|>"),
    "mistral-v1": Wrapping(user=" [INST] {} [/INST]", assistant=" {}{eos}", prompt=""),
    "mistral-v3": Wrapping(user="[INST] {}[/INST]", assistant=" {}{eos}", prompt=""),
    "mistral-v3-tekken": Wrapping(user="[INST]{}[/INST]", assistant="{}{eos}", prompt=""),
    "mistral-v7": Wrapping(
        user="[INST] {}[/INST]",
        assistant=" {}{eos}",
        prompt="",
        system="[SYSTEM_PROMPT] {}[/SYSTEM_PROMPT]",
    ),
    "mistral-v7-tekken": Wrapping(
        user="[INST]{}[/INST]",
        assistant="{}{eos}",
        prompt="",
        system="[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]",
    ),
    "openchat": Wrapping(
        user="GPT4 Correct User: {}<|end_of_turn|>",
        assistant="GPT4 Correct Assistant: {}<|end_of_turn|>",
        prompt="GPT4 Correct Assistant:",
        system="{}<|end_of_turn|>",
    ),
    "orion": Wrapping(user="Human: {}\n\nAssistant: {eos}", assistant="{}{eos}", prompt=""),
    "phi3": _roles("<|", "|>\n", "<|end|>\n"),
    "phi4": _roles("<|im_start|>", "<|im_sep|>", "<|im_end|>"),
    "rwkv-world": Wrapping(
        user="User: {}\n\n", assistant="Assistant: {}\n\n", prompt="Assistant:", system="{}\n\n"
    ),
    "seed_oss": _roles("<seed:bos>", "\n", "<seed:eos>"),
    "vicuna": Wrapping(
        user="USER: {}\n", assistant="ASSISTANT: {}{eos}\n", prompt="ASSISTANT:", system="{}\n\n"
    ),
    "zephyr": _roles("<|", "|>\n", "{eos}\n"),
}
BUILT_IN: Mapping[str, str] = {
    **{name: wrapping.jinja() for name, wrapping in WRAPPINGS.items()},
    **dict.fromkeys(("llama2", "llama2-sys", "llama2-sys-bos", "llama2-sys-strip"), LLAMA2),
}
"""Jinja by name: llama.cpp's names."""
SIGNS: Mapping[str, str] = {
    "<|start_header_id|>": "llama3",
    "<|header_start|>": "llama4",
    "<start_of_turn>": "gemma",
    "<|START_OF_TURN_TOKEN|>": "command-r",
    "<|start_of_role|>": "granite",
    "<|channel|>": "gpt-oss",
    "<|im_sep|>": "phi4",
    "<|im_start|>": "chatml",
    "<｜User｜>": "deepseek3",
    "[|endofturn|]": "exaone3",
    "<seed:bos>": "seed_oss",
    "[SYSTEM_PROMPT]": "mistral-v7",
    "[INST]": "mistral-v3",
    "<sop>": "chatglm4",
    "<|end|>": "phi3",
    "<|user|>": "zephyr",
}
"""Special tokens that identify a format, the most specific first."""


def guess(special_texts: Collection[str]) -> tuple[str, str | None]:
    """The format that a vocabulary was made for, and the token that shows it."""
    known = frozenset(special_texts)
    for sign, name in SIGNS.items():
        if sign in known:
            return name, sign
    return "chatml", None
