"""`lepton run --tools`: a script gives tools, and gets the calls as lines of JSON: real runs."""

import json

import pytest

from lepton_cli.__main__ import run

TEMPLATE = (
    "{{ tools | tojson if tools }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    '{% for c in m.tool_calls or [] %}<call>{"name": "{{ c.function.name }}", "arguments": '
    "{{ c.function.arguments | tojson }}}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"enum": [1, 2]}},
    "required": ["city", "days"],
}
FUNCTIONS = [{"name": "weather", "parameters": PARAMETERS}, {"name": "stop"}]


@pytest.fixture
def lepton(capfd, tmp_path):
    """Runs `lepton run builtin --tools ...`: exit code, stdout, stderr."""
    tools, template = tmp_path / "tools.json", tmp_path / "template.jinja"
    tools.write_text(json.dumps([{"type": "function", "function": each} for each in FUNCTIONS]))
    template.write_text(TEMPLATE)

    def start(*args: str, words: str = "hi") -> tuple[int, str, str]:
        given = ("--tools", str(tools), "--chat-template-file", str(template), "-s", "1")
        code = run(["run", "builtin", words, "--no-stdin", *given, *args])
        out, err = capfd.readouterr()
        return code, out, err

    return start


def test_a_required_call_is_a_line_of_json(lepton):
    code, out, err = lepton("--tool-choice", "weather")
    record = json.loads(out)
    assert (code, err, record["name"], record["id"]) == (0, "", "weather", "call_1_0")
    assert record["arguments"]["city"] in ("Oslo", "Rome")
    assert record["arguments"]["days"] in (1, 2)
    assert out == lepton("--tool-choice", "weather")[1]
    called = [json.loads(line) for line in lepton("--tool-choice", "required")[1].splitlines()]
    assert called
    assert {each["name"] for each in called} <= {"weather", "stop"}


def test_json_has_the_calls(lepton):
    record = json.loads(lepton("--tool-choice", "stop", "--json")[1])
    call = {"id": "call_1_0", "type": "function", "function": {"name": "stop", "arguments": "{}"}}
    assert (record["text"], record["tool_calls"]) == ("", [call])
    end = json.loads(lepton("--tool-choice", "stop", "--jsonl")[1].splitlines()[-1])
    assert (end["event"], end["tool_calls"]) == ("end", [call])


def test_an_answer_without_calls_is_its_text(lepton):
    code, out, _ = lepton("-n", "8")
    record = json.loads(lepton("-n", "8", "--json")[1])
    assert (code, record["tool_calls"], record["text"] + "\n") == (0, [], out)
    assert lepton("-n", "8", "--tool-choice", "none")[0] == 0


def test_a_call_that_is_cut_is_not_as_asked(lepton):
    code, out, err = lepton("--tool-choice", "stop", "-n", "3")
    assert code == 6
    assert out.startswith("<ca")
    assert "before it satisfied the form of calls" in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--tool-choice", "f"), "the tool_choice wants 'f', but the tools are weather, stop"),
        (("--raw",), "--tools cannot be combined with --raw"),
        (("--beams", "2"), "--tools cannot be combined with --beams"),
        (("-x",), "--tools cannot be combined with --extract"),
        (("--choices", "a,b"), "--tools cannot be combined with a constraint"),
        (("--tools", "no.json"), "no.json: No such file or directory"),
        (("--chat-template", "chatml"), "--chat-template and --chat-template-file are both given"),
    ],
)
def test_what_does_not_go_with_tools_is_a_usage_error(lepton, args, said):
    code, out, err = lepton(*args)
    assert (code, out) == (2, "")
    assert said in err


def test_a_file_that_is_no_list_of_tools_is_named(lepton, tmp_path):
    wrong = tmp_path / "wrong.json"
    for text, said in (
        ("{", "it is not JSON"),
        ("[{}]", "tool 1 is {}, not like"),
        ("1", "a list"),
    ):
        wrong.write_text(text)
        code, _, err = lepton("--tools", str(wrong))
        assert code == 2
        assert f"{wrong}: " in err
        assert said in err


def test_tools_need_a_file_and_a_template_with_a_place_for_them(tmp_path, capfd):
    assert run(["run", "builtin", "hi", "--no-stdin", "--tool-choice", "auto"]) == 2
    assert "--tool-choice auto needs tools" in capfd.readouterr()[1]
    tools = tmp_path / "tools.json"
    tools.write_text('[{"type": "function", "function": {"name": "f"}}]')
    assert run(["run", "builtin", "hi", "--no-stdin", "--tools", str(tools)]) == 2
    assert "the chat template has no place for tools" in capfd.readouterr()[1]
