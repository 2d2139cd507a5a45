"""Chat templates: from a model's file to prompts; what happens without one or with a bad one."""

from datetime import datetime

import pytest
from fake_model import FakeTokenizer

from lepton_cli.engine.text.fallback_templates import BUILT_IN, SIGNS, guess
from lepton_cli.engine.text.jinja.program import ChatTemplateError
from lepton_cli.engine.text.messages import Message, Segment
from lepton_cli.engine.text.template import KEY, ChatTemplate, load_template
from quant.errors import UsageError

CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

STRICT = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}\
{% endif %}{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Roles must alternate\n user/assistant') }}{% endif %}\
[{{ message['role'] }}]{{ message['content'] | trim }}{{ eos_token }}{% endfor %}"""

THINKING = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.reasoning_content %}
        {{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' + ('<think>\\n' if enable_thinking else '<think></think>') }}
{%- endif %}"""

TALK = [Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Bye")]


class Tokenizer(FakeTokenizer):
    def __init__(
        self, special_texts=FakeTokenizer.special_texts, *, adds_bos=False, adds_eos=False
    ):
        self.special_texts, self.adds_bos, self.adds_eos = special_texts, adds_bos, adds_eos


def template(source, **tokenizer):
    return ChatTemplate("test", source, Tokenizer(**tokenizer))


def text(segments):
    return "".join(segment.text for segment in segments)


# --- rendering -------------------------------------------------------------------------------


def test_only_the_template_s_own_words_are_trusted():
    assert template(CHATML).render(TALK[:1]) == [
        Segment("<|im_start|>user\n", True),
        Segment("Hi", False),
        Segment("<|im_end|>\n<|im_start|>assistant\n", True),
    ]


def test_the_generation_prompt_can_be_left_out():
    assert text(template(CHATML).render(TALK[:1], add_generation_prompt=False)).endswith(
        "<|im_end|>\n"
    )


def test_thinking_can_be_switched_off():
    thinking = template(THINKING)
    assert text(thinking.render(TALK)).endswith("<think>\n")
    assert text(thinking.render(TALK, enable_thinking=False)).endswith("<think></think>")


def test_past_thoughts_reach_the_template():
    talk = [TALK[0], Message("assistant", "Hello", reasoning="greet"), TALK[2]]
    assert "<think>\ngreet\n</think>\n\nHello" in text(template(THINKING).render(talk))


def test_the_template_tells_how_the_model_thinks():
    assert template(THINKING).reasoning.thought == ("<think>",)
    assert template(CHATML).reasoning is None


def test_a_format_that_only_a_rendered_prompt_shows_is_found():
    source = CHATML.replace("assistant\\n", "assistant\\n{}>'.format('<think:opensource') + '")
    source += "{# {}</think:opensource{} #}{{ '</think:open' + 'source>' }}"
    assert template(source).reasoning.thought == ("<think:opensource>",)


def test_a_refusal_is_one_line_of_the_template_s_own():
    with pytest.raises(ChatTemplateError) as caught:
        template(STRICT).render([TALK[0], TALK[0]])
    assert caught.value.message == "the chat template refuses: Roles must alternate user/assistant"
    assert isinstance(caught.value, UsageError)


def test_an_error_in_a_rendering_is_one_line():
    with pytest.raises(ChatTemplateError, match=r"the chat template fails: 'dict object' has no"):
        source = CHATML + "{% if messages|length > 2 %}{{ messages[0].foo.bar }}{% endif %}"
        template(source).render(TALK)


def test_a_system_prompt_that_the_template_refuses_goes_before_the_first_question():
    prompt = text(template(STRICT).render([Message("system", "Be brief."), *TALK]))
    assert prompt.startswith("<s>[user]Be brief.\nHi</s>[assistant]Hello")


def test_a_system_prompt_that_the_template_ignores_goes_before_the_first_question():
    ignoring = CHATML.replace("messages %}", "messages if message.role != 'system' %}")
    prompt = text(template(ignoring).render([Message("system", "Be brief."), *TALK]))
    assert prompt.startswith("<|im_start|>user\nBe brief.\nHi<|im_end|>")


def test_a_system_prompt_that_the_template_takes_stays_where_it_is():
    prompt = text(template(CHATML).render([Message("system", "Be brief."), *TALK]))
    assert prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi")


def test_a_system_prompt_alone_is_a_question():
    assert text(template(STRICT).render([Message("system", "Be brief.")])).startswith(
        "<s>[user]Be brief."
    )


def test_content_in_parts_is_given_to_templates_that_want_parts():
    parts = "{% for m in messages %}{{ m.role }}: {% for part in m.content %}"
    parts += "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %};{% endfor %}"
    assert text(template(parts).render(TALK[:2])) == "user: Hi;assistant: Hello;"


@pytest.mark.parametrize(("adds", "start"), [(True, "[user]"), (False, "<s>[user]")])
def test_a_bos_that_the_tokenizer_adds_is_not_doubled(adds, start):
    assert text(template(STRICT, adds_bos=adds).render(TALK)).startswith(start)


def test_only_one_bos_is_taken_away():
    assert text(template("{{ bos_token }}" + STRICT, adds_bos=True).render(TALK)).startswith("<s>[")


def test_an_eos_that_the_tokenizer_adds_is_not_doubled():
    assert text(template(STRICT, adds_eos=True).render(TALK)).endswith("Bye")


def test_a_bos_that_a_person_typed_stays():
    source = "{% for message in messages %}{{ message.content }}{% endfor %}"
    typed = [Message("user", "<s>Hi")]
    assert template(source, adds_bos=True).render(typed) == [Segment("<s>Hi", False)]


def test_templates_can_ask_for_the_date():
    source = CHATML + "{{ strftime_now('%Y') }} {{ date_string }}"
    today = datetime.now()
    assert text(template(source).render(TALK)).endswith(f"{today:%Y} {today:%d %b %Y}")


def test_a_person_s_variables_reach_the_template_untrusted():
    source = CHATML + "{{ effort }}"
    assert template(source).render(TALK, variables={"effort": "<s>"})[-1] == Segment("<s>", False)


# --- going on with an answer -----------------------------------------------------------------


def test_an_answer_continues_where_it_ended():
    prompt = template(CHATML).render([*TALK, Message("assistant", "By")], continue_last=True)
    assert text(prompt).endswith("Bye<|im_end|>\n<|im_start|>assistant\nBy")
    assert prompt[-1] == Segment("By", False)


@pytest.mark.parametrize(
    ("partial", "expected"),
    [
        (Message("assistant", "", reasoning="hm"), "assistant\n<think>\nhm"),
        (Message("assistant", "By", reasoning="hm"), "assistant\n<think>\nhm\n</think>\n\nBy"),
        (Message("assistant", "By"), "assistant\n<think>\n\n</think>\n\nBy"),
    ],
)
def test_thoughts_of_an_answer_go_before_it(partial, expected):
    prompt = template(THINKING).render([TALK[0], partial], continue_last=True)
    assert text(prompt).endswith(expected)


def test_an_answer_without_thoughts_continues_without():
    prompt = template(THINKING).render(
        [TALK[0], Message("assistant", "By")], continue_last=True, enable_thinking=False
    )
    assert text(prompt).endswith("<think></think>By")


def test_a_gpt_oss_answer_continues_in_its_channel():
    harmony = ChatTemplate("gpt-oss", BUILT_IN["gpt-oss"], Tokenizer())
    partial = Message("assistant", "By", reasoning="hm")
    assert text(harmony.render([TALK[0], partial], continue_last=True)).endswith(
        "<|start|>assistant<|channel|>analysis<|message|>hm<|end|>"
        "<|start|>assistant<|channel|>final<|message|>By"
    )


@pytest.mark.parametrize("messages", [[], TALK])
def test_there_must_be_an_answer_to_continue(messages):
    with pytest.raises(UsageError, match="not an answer to continue"):
        template(CHATML).render(messages, continue_last=True)


# --- from a file -----------------------------------------------------------------------------


def test_the_file_s_own_template_is_used():
    loaded = load_template({KEY: CHATML}, Tokenizer())
    assert (loaded.source, loaded.from_file, loaded.note) == (CHATML, True, None)


@pytest.mark.parametrize("metadata", [{}, {KEY: ""}, {KEY: " \n"}, {KEY: 3}])
def test_a_file_without_a_template_gets_a_named_one_with_a_note(metadata):
    loaded = load_template(metadata, Tokenizer(()))
    assert (loaded.name, loaded.from_file) == ("chatml", False)
    assert loaded.note == "the file has no chat template; using the format chatml"


def test_the_vocabulary_tells_the_format():
    loaded = load_template({}, Tokenizer(("<start_of_turn>",)))
    assert loaded.name == "gemma"
    assert loaded.note.endswith("using the format gemma (its vocabulary has <start_of_turn>)")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{% if %}", "line 1"),
        ("{{ a.b.c }}", "'a' is undefined"),
        ("{{ messages[0].content | nonsense }}", "nonsense"),
        ("{{ 'hello' }}", "drops the user's message"),
        ("{% include 'x' %}", "Include is not allowed"),
        ("{{ '" + "a" * 200_000 + "' }}", "longer than"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
        ("gpt-nonsense", "gpt-nonsense"),
    ],
)
def test_a_template_that_does_not_work_gives_a_fallback_with_a_note(source, told):
    loaded = load_template({KEY: source}, Tokenizer())
    assert loaded.from_file
    assert loaded.name == "chatml"
    assert told in loaded.note
    assert "using the format chatml" in loaded.note
    assert "\n" not in loaded.note


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_file_may_hold_the_name_of_a_format(name):
    loaded = load_template({KEY: f"{name}\n"}, Tokenizer())
    assert (loaded.name, loaded.source, loaded.note) == (name, BUILT_IN[name], None)


def test_a_person_may_choose_a_format_or_give_jinja():
    assert load_template({KEY: CHATML}, Tokenizer(), "llama3").name == "llama3"
    assert load_template({KEY: CHATML}, Tokenizer(), STRICT).source == STRICT
    assert not load_template({}, Tokenizer(), "llama3").from_file


@pytest.mark.parametrize("override", ["llama9", "{% if %}", ""])
def test_a_person_s_choice_that_does_not_work_is_an_error(override):
    with pytest.raises(UsageError):
        load_template({KEY: CHATML}, Tokenizer(), override)


# --- the built-in formats --------------------------------------------------------------------

GOLDEN = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\n",
    "llama2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Bye [/INST]",
    "llama3": "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<start_of_turn>user\nS\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
    "mistral-v3": "[INST] S\nHi[/INST] Hello</s>[INST] Bye[/INST]",
    "mistral-v7": "[SYSTEM_PROMPT] S[/SYSTEM_PROMPT][INST] Hi[/INST] Hello</s>[INST] Bye[/INST]",
    "phi3": "<|system|>\nS<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n"
    "<|user|>\nBye<|end|>\n<|assistant|>\n",
    "vicuna": "S\n\nUSER: Hi\nASSISTANT: Hello</s>\nUSER: Bye\nASSISTANT:",
    "zephyr": "<|system|>\nS</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n"
    "<|user|>\nBye</s>\n<|assistant|>\n",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_format_writes_what_its_models_were_trained_on(name):
    prompt = ChatTemplate(name, BUILT_IN[name], Tokenizer()).render([Message("system", "S"), *TALK])
    assert text(prompt) == GOLDEN[name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_format_shows_every_word_and_trusts_none(name):
    prompt = ChatTemplate(name, BUILT_IN[name], Tokenizer()).render(
        [Message("system", "Sys"), *TALK]
    )
    words = "".join(segment.text for segment in prompt if not segment.trusted)
    assert words.replace("\n", "") == "SysHiHelloBye"


@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_is_a_token_of_its_format(sign):
    name, found = guess([sign])
    assert found == sign
    assert sign in BUILT_IN[name]


def test_templates_can_be_told_another_time():
    source = CHATML + "{{ strftime_now('%Y-%m-%d %H') }} {{ date_string }} {{ datetime }}"
    template = ChatTemplate("x", source, FakeTokenizer())
    prompt = template.render([Message("user", "hi")], now=datetime(2024, 2, 29))
    assert "".join(part.text for part in prompt).endswith("2024-02-29 00 29 Feb 2024 Feb 29 2024")
