"""From a row's columns to what it wants of the model."""

import pytest

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.jobs.asking import Ask
from lepton_cli.engine.jobs.columns import ColumnText
from lepton_cli.engine.jobs.parameters import own_generation
from lepton_cli.engine.jobs.planning import Recipe, plan
from lepton_cli.engine.jobs.rows import Row
from lepton_cli.engine.jobs.wording import Wording
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.engine.text.messages import Message, ToolCall
from quant.errors import UsageError

SCHEMA = Constraint("json-schema", '{"type": "object"}')


def text(source: str) -> ColumnText:
    return ColumnText.parse(source, "-p")


def ask(columns: dict[str, object], wording: Wording = Wording()) -> Ask:  # noqa: B008
    return wording.ask(Row(1, columns))


# --- columns in texts


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("Say {text}!", "Say {{x}} \\n!"),
        ("{{{n}}} {{}}", "{1.5} {}"),
        ("{ text }{text}", "{{x}} \\n{{x}} \\n"),
        ("{a b}", "ä"),
        ("{list} {yes}", '["ü", 1] true'),
        ("", ""),
    ],
)
def test_columns_are_put_in_as_they_are(source, filled):
    row = {"text": "{{x}} \\n", "n": 1.5, "a b": "ä", "list": ["ü", 1], "yes": True}
    assert text(source).fill(row) == filled


@pytest.mark.parametrize("source", ["{", "}", "a {b", "a} b", "{a{b}}", "{{a}"])
def test_a_brace_without_its_partner_is_refused(source):
    with pytest.raises(UsageError, match="single"):
        text(source)


def test_a_missing_column_is_reported_with_the_nearest():
    with pytest.raises(UsageError, match="no column 'txt'") as caught:
        text("{txt}").fill({"text": "a"})
    assert caught.value.hint == "did you mean text?"
    with pytest.raises(UsageError, match="of the row is empty"):
        text("{text}").fill({"text": None})


def test_columns_that_no_row_has_are_found_before_anything_runs():
    rows = [Row(1, {"a": "1"}), Row(2, {"b": "1"})]
    Wording(text("{a} {b}")).check(rows)
    with pytest.raises(UsageError, match="'c'"):
        Wording(text("{a}"), system=text("{c}")).check(rows)
    with pytest.raises(UsageError, match="-p has no column"):
        Wording(text("a")).check(rows)
    Wording(text("{a}")).check([])


# --- prompts


@pytest.mark.parametrize("columns", [{"prompt": "hi", "text": "no"}, {"text": "hi"}, {"q": "hi"}])
def test_the_prompt_is_found_in_the_columns(columns):
    assert ask(columns).messages == (Message("user", "hi"),)
    assert ask(columns, Wording(raw=True)).prompt == "hi"


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"a": "1", "b": "2"},
        {"prompt": ""},
        {"prompt": 3},
        {"prompt": None},
        {"messages": []},
        {"messages": "hi"},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]},
        {"messages": [{"role": "assistant", "content": None}]},
        {"prompt": "a", "system": 3},
        {"prompt": "a", "schema": 3},
        {"prompt": "a", "choices": "yes"},
        {"prompt": "a", "regex": "a", "choices": ["a"]},
        {"prompt": "a", "schema_check": True},
        {"prompt": "a", "schema": {}, "schema_check": "maybe"},
    ],
)
def test_a_row_that_says_no_prompt_or_an_odd_one_is_refused(columns):
    with pytest.raises(UsageError):
        ask(columns)


def test_a_rows_own_system_prompt_comes_before_the_common_one():
    wording = Wording(system=text("You are {who}."))
    common = ask({"prompt": "hi", "who": "Ann"}, wording)
    assert common.messages == (Message("system", "You are Ann."), Message("user", "hi"))
    own = ask({"prompt": "hi", "who": "Ann", "system": "Be brief."}, wording)
    assert own.messages[0] == Message("system", "Be brief.")
    led = [{"role": "developer", "content": "No."}, {"role": "user", "content": "hi"}]
    assert ask({"messages": led, "who": "Ann"}, wording).messages[0] == Message("system", "No.")
    with pytest.raises(UsageError, match="chat template"):
        ask({"prompt": "hi", "system": "Be brief."}, Wording(raw=True))


def test_messages_keep_their_thoughts_and_join_their_parts():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    said = [
        {"role": "user", "content": parts, "name": "me"},
        {"role": "assistant", "content": "c", "reasoning_content": "hm"},
        {"role": "user", "content": "d"},
    ]
    assert ask({"messages": said}).messages == (
        Message("user", "a\nb"),
        Message("assistant", "c", "hm"),
        Message("user", "d"),
    )


def test_columns_that_a_template_uses_are_not_parameters():
    row = {"text": "x", "temperature": "30", "seed": "1", "top_k": "", "min_p": None}
    assert ask(row).given == {"temperature": "30", "seed": "1"}
    assert ask(row, Wording(text("{text} at {temperature}"))).given == {"seed": "1"}
    with pytest.raises(UsageError, match="-p gives another"):
        ask({"messages": []}, Wording(text("{text}")))


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"schema": {"type": "object"}}, SCHEMA),
        ({"json_schema": '{"type": "object"}'}, SCHEMA),
        ({"regex": "a+"}, Constraint("regex", "a+")),
        ({"choices": '["yes", "no"]'}, Constraint("choices", '["yes", "no"]')),
        ({"schema": {}, "schema_check": True}, Constraint("checked-json-schema", "{}")),
        ({"schema": "{}", "schema_check": "false"}, Constraint("json-schema", "{}")),
        ({"schema": "", "regex": None}, None),
    ],
)
def test_a_row_may_say_what_its_answer_must_be(columns, constraint):
    assert ask({"prompt": "hi", **columns}).constraint == constraint


# --- parameters


def test_parameters_are_taken_as_numbers_or_as_their_texts():
    base = Generation(Sampling(temperature=0.5, top_p=0.5), max_tokens=7, stop=("x",))
    given = {
        "temp": "0.25",
        "top_k": 3,
        "seed": "11",
        "max_completion_tokens": "-1",
        "stop": ["a", "b"],
        "ignore_eos": "true",
        "repetition_penalty": 1,
        "logit_bias": {"5": -1.5},
        "samplers": "top_k;temperature",
        "dry_sequence_breakers": [],
    }
    assert own_generation(base, given) == Generation(
        Sampling(
            temperature=0.25,
            top_k=3,
            top_p=0.5,
            seed=11,
            repeat_penalty=1,
            logit_bias=((5, -1.5),),
            samplers=("top_k", "temperature"),
            dry_sequence_breakers=(),
        ),
        max_tokens=None,
        stop=("a", "b"),
        ignore_eos=True,
    )


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": "warm"},
        {"temperature": True},
        {"temperature": [1]},
        {"top_k": 1.5},
        {"top_p": 2},
        {"seed": -2},
        {"seed": "x"},
        {"max_tokens": -2},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"stop": [""]},
        {"stop": [1]},
        {"ignore_eos": "perhaps"},
        {"logit_bias": {"a": 1}},
        {"logit_bias": 3},
        {"samplers": "nonsense"},
        {"temp": 1, "temperature": 1},
    ],
)
def test_a_parameter_that_cannot_be_is_refused(given):
    with pytest.raises(UsageError):
        own_generation(Generation(), given)


# --- OpenAI's rows


def request(body: dict[str, object], **more: object) -> dict[str, object]:
    return {"custom_id": "a", "url": "/v1/chat/completions", "body": body, **more}


HI = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
OBJECT = {"type": "json_object"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}


def choice(name):
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("given", "tools", "must_call", "one_call"),
    [
        ({}, "fg", "", False),
        ({"tool_choice": "auto", "parallel_tool_calls": False}, "fg", "", True),
        ({"tool_choice": "none", "parallel_tool_calls": False}, "", "", False),
        ({"tool_choice": "required"}, "fg", "fg", False),
        ({"tool_choice": "required", "parallel_tool_calls": False}, "fg", "fg", True),
        ({"tool_choice": choice("g")}, "fg", "g", True),
    ],
)
def test_a_request_says_which_tools_must_be_called(given, tools, must_call, one_call):
    several = [*TOOLS, choice("g")]
    use = ask(request({"messages": HI, "tools": several, **given})).use
    assert [each["name"] for each in use.functions] == list(tools)
    assert (use.must_call, use.one_call) == (tuple(must_call), one_call)


def test_a_request_may_have_choices_logprobs_and_tools():
    found = ask(request({"messages": HI, "n": 3, "logprobs": True, "tools": TOOLS}))
    assert (found.choices, found.logprobs, found.use.tools) == (3, 0, tuple(TOOLS))
    found = ask(request({"messages": HI, "logprobs": True, "top_logprobs": 4}))
    assert (found.choices, found.logprobs, found.use.tools) == (1, 4, ())
    assert ask(request({"messages": HI, "tools": TOOLS, "tool_choice": "none"})).use.tools == ()
    assert ask(request({"prompt": "x", "logprobs": 2}, url="/v1/completions")).logprobs == 2
    with pytest.raises(UsageError, match="n is 3, but --output-template"):
        ask(request({"messages": HI, "n": 3}), Wording(shape="lepton"))


def test_what_a_request_asks_for_is_part_of_its_key():
    plain = ask(request({"messages": HI})).content()
    for more in ({"n": 2}, {"logprobs": True, "top_logprobs": 1}, {"tools": TOOLS}):
        assert ask(request({"messages": HI, **more})).content() != plain
    listed = ask(request({"messages": HI, "tools": TOOLS})).content()
    for more in ({"tool_choice": "required"}, {"parallel_tool_calls": False}):
        assert ask(request({"messages": HI, "tools": TOOLS, **more})).content() != listed
    called = ask(request({"messages": [*HI, CALLED]})).content()
    assert (
        called
        != ask(
            request({"messages": [*HI, {**CALLED, "tool_calls": None, "content": ""}]})
        ).content()
    )
    assert plain == (
        '["a", [["user", "hi", null]], null, {}, null, "chat.completion"]'  # as results have it
    )


def test_calls_of_tools_and_their_results_are_messages():
    found = ask(request({"messages": [*HI, CALLED, RESULT]})).messages
    assert found[1:] == (
        Message("assistant", "", calls=(ToolCall("c1", "f", '{"x": 1}'),)),
        Message("tool", "42", call_id="c1", name="f"),
    )


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([*HI, RESULT], "no message before it calls a tool with the id 'c1'"),
        ([*HI, CALLED, {**RESULT, "tool_call_id": None}], "tool_call_id is None"),
        ([{**CALLED, "role": "user"}], "only an assistant's message has tool_calls"),
        ([{**CALLED, "tool_calls": [{"id": "c"}]}], "message 1, call 1 is not like"),
        ([{**CALLED, "tool_calls": {}}], "tool_calls must be a list"),
        *(
            (
                [
                    {
                        **CALLED,
                        "tool_calls": [{**CALL, "function": {"name": "f", "arguments": said}}],
                    }
                ],
                f"arguments is {said!r}: it must be a JSON object",
            )
            for said in ("x", '{"n": NaN}', '{"n": 1e999}')
        ),
        ([{**CALLED, "tool_calls": [{**CALL, "function": {}}]}], "name is None"),
    ],
)
def test_odd_calls_are_refused(messages, named):
    with pytest.raises(UsageError) as caught:
        ask(request({"messages": messages}))
    assert named in caught.value.message


def test_a_request_in_openais_form_is_taken_as_it_is():
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = {"model": "m", "messages": HI, "temperature": 0, "n": 1, "tools": None, "user": "me"}
    found = ask(request(body | {"max_tokens": 5, "stop": "x", "response_format": schema}))
    given = {"temperature": 0, "max_tokens": 5, "stop": "x"}
    assert found == Ask("a", (Message("user", "hi"),), None, given, SCHEMA, "chat.completion")


def test_a_completion_is_not_put_into_a_template():
    found = ask(request({"prompt": "Once"}, url="/v1/completions"))
    assert found == Ask("a", (), "Once", shape="text_completion")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (request({"messages": HI, "n": 0}), "n is 0: it must be a whole number, 1 to 128"),
        (request({"messages": HI, "n": True}), "n is True"),
        (request({"messages": HI, "stream": True}), "stream"),
        (request({"messages": HI, "tools": [{}]}), "tools: tool 1 is {}, not like"),
        (request({"messages": HI, "tools": {"a": 1}}), "tools is {'a': 1}: it must be a list"),
        (request({"messages": HI, "tool_choice": "required"}), "wants a tool, but there are no"),
        (request({"messages": HI, "tools": TOOLS, "tool_choice": choice("g")}), "'g', but the t"),
        (request({"messages": HI, "tools": TOOLS, "tool_choice": "any"}), "tool_choice is 'any'"),
        (request({"messages": HI, "tools": TOOLS, "tool_choice": {}}), "tool_choice is {}"),
        (request({"messages": HI, "tools": TOOLS, "parallel_tool_calls": 1}), "parallel_tool_cal"),
        (request({"messages": HI, "tools": TOOLS, "response_format": OBJECT}), "cannot be used"),
        (request({"prompt": "x", "tools": TOOLS}, url="/v1/completions"), "tools"),
        (
            request({"prompt": "x", "reasoning_budget": 3}, url="/v1/completions"),
            "reasoning_budget",
        ),
        (request({"messages": HI, "logprobs": 3}), "logprobs is 3: it must be true or false"),
        (request({"messages": HI, "top_logprobs": 3}), "logprobs is not true"),
        (request({"messages": HI, "logprobs": True, "top_logprobs": 21}), "0 to 20"),
        (request({"prompt": "x", "logprobs": True}, url="/v1/completions"), "logprobs is True"),
        (request({"messages": HI, "temprature": 1}), "temprature"),
        (request({"messages": HI, "response_format": {"type": "xml"}}), "response_format"),
        (request({"messages": HI, "response_format": {"type": "json_schema"}}), "response_format"),
        (request({}), "messages"),
        (request({"prompt": ["a", "b"]}, url="/v1/completions"), "prompt"),
        (request({"messages": HI}, url="/v1/embeddings"), "/v1/embeddings"),
        (request({"messages": HI}, url=["x"]), "url"),
        (request({"messages": HI}, method="GET"), "GET"),
        ({"custom_id": "a", "body": "x"}, "body"),
    ],
)
def test_what_lepton_does_not_do_of_a_request_is_named(row, named):
    with pytest.raises(UsageError, match=named):
        ask(row)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"id": 1, "custom_id": "a", "body": {"messages": HI}}, "a"),
        ({"id": 1, "custom_id": "a", "text": "hi"}, 1),
        ({"custom_id": "a", "text": "hi"}, "a"),
    ],
)
def test_a_request_has_its_custom_id_and_another_row_its_id(row, name):
    assert ask(row).id == name
    field = "text" if "text" in row else "body"
    [failed] = jobs([{**row, field: ""}])
    assert failed.error is not None and failed.ask.id == name


# --- keys and seeds


def jobs(rows: list[dict[str, object]], model: str = "m", **recipe: object):
    made = Recipe(**{"wording": Wording(), "generation": Generation(), **recipe})
    numbered = [Row(i, columns) for i, columns in enumerate(rows, 1)]
    return plan(numbered, made, made.fingerprint(model * 20))


ROWS = [{"prompt": "a"}, {"prompt": "b", "id": 1}, {"prompt": "b", "id": 2}, {"prompt": "a"}]


def test_keys_and_seeds_follow_the_content_not_the_place():
    one, two = jobs(ROWS), jobs(ROWS[::-1])
    both = [{job.key: job.seed for job in each} for each in (one, two)]
    assert both[0] == both[1]
    assert len(both[0]) == len(set(both[0].values())) == 4  # equal rows, too, each have their own


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "n"}, "another model"),
        ({"wording": Wording(text("{prompt}"))}, "another prompt template"),
        ({"wording": Wording(system=text("x"))}, "another prompt template"),
        ({"wording": Wording(raw=True)}, "another prompt template"),
        ({"wording": Wording(parse_special=True)}, "another prompt template"),
        ({"thinking": False}, "another prompt template"),
        ({"template": "chatml"}, "another prompt template"),
        ({"seed": 1}, "other parameters"),
        ({"setting": ("q8_0",)}, "other parameters"),
        ({"generation": Generation(max_tokens=1)}, "other parameters"),
        ({"arithmetic": "a"}, "another CPU's instructions (LEPTON_CPU chooses them)"),
        ({"generation": Generation(Sampling(top_k=1))}, "other parameters"),
        ({"generation": Generation(constraint=SCHEMA)}, "other parameters"),
    ],
)
def test_whatever_changes_answers_changes_all_keys(change, told):
    assert not {job.key for job in jobs(ROWS)} & {job.key for job in jobs(ROWS, **change)}
    recipes = [{"wording": Wording(), "generation": Generation()}, change]
    model = change.get("model", "m")
    merged = {name: value for each in recipes for name, value in each.items() if name != "model"}
    before = Recipe(Wording(), Generation()).fingerprint("m" * 20)
    assert Recipe(**merged).fingerprint(model * 20).difference(str(before)) == told


def test_rows_that_cannot_be_asked_have_keys_too():
    bad = [{"prompt": 1}, {"prompt": 2}, {"prompt": 1}]
    found = jobs(bad)
    assert all(job.error for job in found)
    assert len({job.key for job in found}) == 3


def test_rows_are_checked_where_the_command_line_says_so():
    wording, checked = Wording(schema_check=True), Constraint("checked-json-schema", "{}")
    body = {
        "messages": [{"role": "user", "content": "a"}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "null"}}},
    }
    openai = ask({"custom_id": "1", "body": body}, wording).constraint
    assert openai == Constraint("checked-json-schema", '{"type": "null"}')
    assert ask({"prompt": "a", "schema": "{}"}, wording).constraint == checked
    own = {"prompt": "a", "schema": "{}", "schema_check": False}
    assert ask(own, wording).constraint == Constraint("json-schema", "{}")


@pytest.mark.parametrize(
    ("row", "lacks"),
    [
        ({"custom_id": "r7"}, "body"),
        ({"custom_id": "r7", "method": "POST", "url": "/v1/chat/completions"}, "body"),
        ({"body": {"messages": []}}, "custom_id"),
    ],
)
def test_half_a_request_is_not_a_prompt(row, lacks):
    with pytest.raises(UsageError, match=f"the request has no {lacks}"):
        ask(row)
    recipe = Recipe(Wording(), Generation())
    [job] = plan([Row(1, row)], recipe, recipe.fingerprint("model"))
    assert job.error is not None and job.ask.shape == "chat.completion"


def test_a_row_that_only_names_itself_like_a_request_is_one_with_a_prompt():
    said = ask({"custom_id": "r7", "text": "hi"}).messages
    assert [message.content for message in said] == ["hi"]
    said = ask({"custom_id": "r7"}, Wording(text("Say {custom_id}"))).messages
    assert [message.content for message in said] == ["Say r7"]
    assert ask({"body": "hi"}).messages[0].content == "hi"


@pytest.mark.parametrize("name", ["id", "system", "seed", "temperature", "regex"])
def test_a_row_of_nothing_but_a_setting_has_no_prompt(name):
    with pytest.raises(UsageError, match="no column is the prompt"):
        ask({name: "1"})
