"""`lepton run` with several answers, log-probabilities, bans and biases by text: real runs."""

import json

import pytest

from lepton_cli.__main__ import run

QUESTION = "Tell me a story about a dog."


@pytest.fixture
def lepton(capfd):
    """Runs `lepton run builtin`: exit code, stdout, stderr."""

    def start(*args: str) -> tuple[int, str, str]:
        code = run(["run", "builtin", QUESTION, "-s", "3", "-n", "40", *args])
        out, err = capfd.readouterr()
        return code, out, err

    return start


def test_the_first_candidate_is_the_answer_alone_and_each_has_a_seed(lepton):
    alone = [lepton("-s", str(seed))[1] for seed in (3, 4, 5)]
    code, out, err = lepton("--candidates", "3")
    assert (code, err) == (0, "")
    assert out == "---\n".join(alone)
    record = json.loads(lepton("--candidates", "3", "--json")[1])
    assert [each["text"] + "\n" for each in record["candidates"]] == alone
    assert [each["seed"] for each in record["candidates"]] == [3, 4, 5]
    assert all(each["counts"]["generated"] == 40 for each in record["candidates"])


def test_candidates_as_lines(lepton):
    records = [json.loads(line) for line in lepton("--candidates", "2", "--jsonl")[1].splitlines()]
    assert [(record["event"], record["index"]) for record in records] == [
        ("candidate", 0),
        ("candidate", 1),
    ]


def test_beams_print_the_best_and_ask_no_seed(lepton):
    first, second = (lepton("--beams", "4", "-s", seed) for seed in ("1", "2"))
    assert first == second and first[0] == 0
    record = json.loads(lepton("--beams", "4", "--candidates", "4", "--json")[1])
    scores = [each["score"] for each in record["candidates"]]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    assert first[1] == record["candidates"][0]["text"] + "\n"


def test_logprobs_tell_each_token_and_what_was_likelier(lepton):
    record = json.loads(lepton("--logprobs", "3", "--json", "--temp", "0")[1])
    told = record["logprobs"]
    assert [each["token"] for each in told] == record["token_ids"]
    for each in told:
        assert each["logprob"] <= 0 and len(each["top"]) == 3
        assert each["top"][0] == {key: each[key] for key in ("token", "text", "logprob")}
    assert "".join(each["text"] for each in told).strip() == record["text"].strip()
    assert "logprobs" not in json.loads(lepton("--json")[1])


def test_no_logprobs_beside_it_are_asked_for_by_zero(lepton):
    told = json.loads(lepton("--logprobs", "0", "--json")[1])["logprobs"]
    assert len(told) == 40 and all(each["top"] == [] for each in told)


@pytest.mark.parametrize("words", ["dog", "Max", "e"])
def test_what_is_banned_is_not_said(lepton, words):
    assert words in lepton()[1]
    code, out, err = lepton("--ban", words)
    assert (code, err) == (0, "") and out.strip() and words not in out


def test_a_ban_holds_for_candidates_too(lepton):
    assert "dog" not in lepton("--ban", "dog", "--candidates", "3")[1]


def test_candidates_that_were_cut_are_printed_before_that_is_said(lepton):
    form = ("--regex", "Long ago[a-z ,]{300}", "--candidates", "2")
    code, out, err = lepton(*form)
    assert code == 6 and "was cut at 40 tokens" in err
    assert [text.startswith("Long ago") for text in out.split("---\n")] == [True, True]
    code, out, _ = lepton(*form, "--json")
    assert code == 6 and all(each["unmet"] for each in json.loads(out)["candidates"])


def test_a_bias_by_text_is_for_all_its_tokens(lepton):
    record = json.loads(lepton("--json", "-l", " Max-inf", "-l", "5+1.5")[1])
    assert "Max" not in record["text"]
    biases = record["sampling"]["logit_bias"]
    assert [5, 1.5] in biases and [token for token, bias in biases if bias == "-inf"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--beams", "2", "--candidates", "3"], "as many answers as it has beams"),
        (["--beams", "2", "--logprobs", "3"], "--logprobs"),
        (["--beams", "2", "--ban", "x"], "--ban"),
        (["--beams", "2", "--choices", "yes,no"], "constraint"),
        (["--logprobs", "3"], "add --json"),
        (["--candidates", "0"], "candidates"),
        (["--beams", "33"], "beams"),
        (["--ban", ""], "--ban is empty"),
        (["--draft-p-min", "3"], "draft-p-min"),
        (["-l", "hello"], "is not a token and a bias"),
    ],
)
def test_what_does_not_go_together_is_refused(lepton, args, words):
    code, out, err = lepton(*args)
    assert (code, out) == (2, "") and words in err


@pytest.mark.parametrize("form", [["--ban", "help"], ["--ban", "h", "--candidates", "2"]])
def test_bans_that_leave_nothing_of_a_form_are_reported_as_such(lepton, form):
    code, _, err = lepton("--choices", "help", *form)
    assert code == 2 and "every text of the choices contains a banned one" in err


def test_candidates_differ_and_too_few_are_reported(lepton):
    code, out, err = lepton("--candidates", "3", "--choices", "yes,no")
    answers = out.split("\n---\n")
    assert code == 0 and sorted(answers) in (["no\n", "yes"], ["no", "yes\n"])
    assert "2 different answers of 3: 12 draws found no more" in err
    code, out, err = lepton("--candidates", "2", "--temp", "0")
    assert (code, "---" in out) == (0, False)
    assert "1 different answer of 2: 1 draw found no more" in err


def test_each_candidate_gives_its_code_block(lepton):
    code, out, err = lepton("--candidates", "2", "-x", "--regex", "[ab]{2}\n```\n[xy]{3}\n```")
    first, second = out.split("---\n")
    assert (code, err, len(first), len(second)) == (0, "", 4, 4)
    assert lepton("--candidates", "2", "-x")[0] == 6
