"""Which names are offered in the place of one that does not exist."""

import pytest

from lepton_cli.engine.library.suggestions import did_you_mean


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("temperature", "did you mean temp?"),
        ("ctx", "did you mean ctx-size?"),
        ("TOP-K", "did you mean top-k?"),
        ("top", "did you mean top-k or top-p?"),
        ("tpo-k", "did you mean top-k?"),
        ("--temp", "did you mean temp?"),
        ("t", "did you mean temp or top-k or top-p?"),
        ("zzz", None),
        ("", None),
        ("timeout", None),
        ("temporary-folders", None),
    ],
)
def test_the_nearest_names_are_offered(word, hint):
    assert did_you_mean(word, ["temp", "ctx-size", "top-k", "top-p"]) == hint


def test_a_slip_is_nearer_than_a_beginning():
    assert did_you_mean("temprature", ["temp", "temperature"]) == "did you mean temperature?"


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("--no-color", "--no-conversation"),
        ("/export", "/exit"),
        ("--quiet", "--grammar"),
        ("hello", "help"),
        ("--temperature-of-the-room", "--temp"),
    ],
)
def test_what_is_not_near_is_not_suggested(word, name):
    assert did_you_mean(word, [name]) is None


def test_a_beginning_of_too_many_names_says_nothing():
    assert did_you_mean("--no", [f"--no-{letter}" for letter in "abcde"]) is None
