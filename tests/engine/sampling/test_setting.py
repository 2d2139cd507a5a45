"""A setting that is declared is listed by all that list settings: shown with two made-up ones."""

import json
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
from fake_chat import load_model
from fake_model import FakeModel

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.decoding.audit import AuditLog
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.jobs.parameters import KNOWN, readers
from lepton_cli.engine.jobs.planning import Recipe
from lepton_cli.engine.jobs.wording import Wording
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.engine.sampling.setting import Setting, aliases, record, setting, settings_of
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from lepton_cli.ui.repl.dialogue import ChatOptions, Dialogue
from lepton_cli.ui.repl.values import VALUES, setting_values
from lepton_cli.ui.reports.report import Start
from quant.errors import UsageError

Tone = Literal["plain", "grand"]


@dataclass(frozen=True, slots=True)
class LaterSampling(Sampling):
    wit: float = setting(0.5, Setting(limits=(0, 1), aliases=("humour",)))


@dataclass(frozen=True, slots=True)
class LaterGeneration(Generation):
    shout: bool = setting(False, Setting(set_aliases=("loud",)))
    tone: Tone = setting("plain", Setting())
    pace: int | None = setting(None, Setting())
    volume: int = setting(3, Setting(limits=(0, 9)))
    guesses: int = setting(3, Setting(changes_answer=False, column=False, slash_set=False))


LATER = LaterGeneration(
    LaterSampling(wit=0.25), shout=True, tone="grand", pace=7, volume=5, guesses=9
)
ADDED = {"shout": True, "tone": "grand", "pace": 7, "volume": 5}
BOTH = (Sampling, Generation)


def fingerprint(generation: Generation) -> str:
    recipe = Recipe(Wording(), generation, seed=5, setting=("q8_0",), arithmetic="avx2")
    return str(recipe.fingerprint("m" * 20))


def names(owner: type, **wanted: bool) -> set[str]:
    """The settings that have these marks."""
    found = [(each.name, about) for each, about in settings_of(owner)]
    return {name for name, about in found if all(getattr(about, k) == v for k, v in wanted.items())}


# --- made-up settings


def test_a_new_setting_is_in_the_json_of_a_run():
    model: Any = FakeModel()
    told = Start(model, LATER, (), None, 0.0).record()
    assert told == told | ADDED and "guesses" not in told
    assert told["sampling"] == record(Sampling()) | {"wit": 0.25}


def test_a_new_setting_is_in_the_audit_log(tmp_path: Path):
    model: Any = FakeModel()
    log = AuditLog(tmp_path / "log", model)
    list(log.log_events([1], LATER, 4, []))
    told = json.loads((tmp_path / "log").read_text())
    assert told == told | ADDED and "guesses" not in told
    assert told["parameters"] == record(Sampling()) | {"wit": 0.25, "seed": 4}


@pytest.mark.parametrize("change", [{name: value} for name, value in ADDED.items()])
def test_a_new_setting_changes_a_batchs_fingerprint_where_it_is_used(change: dict[str, Any]):
    assert fingerprint(replace(LaterGeneration(), **change)) != fingerprint(Generation())


def test_a_new_setting_that_is_not_used_leaves_fingerprints_as_they_are():
    assert fingerprint(LaterGeneration(LaterSampling(), guesses=9)) == fingerprint(Generation())
    assert fingerprint(Generation(LaterSampling(wit=0.25))) != fingerprint(Generation())


def test_a_row_of_a_batch_may_set_a_new_setting():
    assert readers(LaterSampling)["wit"]("wit", "0.25") == 0.25
    found = readers(LaterGeneration)
    assert found["shout"]("shout", "true") is True and found["tone"]("tone", "grand") == "grand"
    assert found["pace"]("pace", "-1") is None and "guesses" not in found


def test_a_chat_shows_and_sets_a_new_setting():
    model: Any = FakeModel()
    talk = Dialogue(model, ChatOptions(LaterGeneration(), plain=True), load_model, by_hand=True)

    def change(dialogue: Dialogue, **given: Any) -> None:
        dialogue.session.generation = replace(dialogue.session.generation, **given)

    listed = setting_values(LaterGeneration, lambda dialogue: dialogue.session.generation, change)
    values = {each.name: each for each in listed}
    for name, text in (("shout", "on"), ("tone", "grand"), ("pace", "7")):
        values[name].write(talk, text)
        assert values[name].read(talk) == text != values[name].default
    assert talk.session.generation == LaterGeneration(shout=True, tone="grand", pace=7)
    assert values["shout"].aliases == ("loud",) and "guesses" not in values


def test_a_number_outside_its_limits_is_refused():
    with pytest.raises(UsageError, match="volume is 10: it must be a whole number from 0 to 9"):
        LaterGeneration(volume=10)


# --- those there are


def test_every_field_is_a_setting():
    assert {each.name for each in fields(Sampling)} == names(Sampling)
    assert {each.name for each in fields(Generation)} == {"sampling", *names(Generation)}


def test_chats_and_batches_list_the_settings_marked_for_them():
    shown, columns = (
        {name for owner in BOTH for name in names(owner, **mark)}
        for mark in ({"slash_set": True}, {"column": True})
    )
    assert {each.name for each in VALUES} == {*shown, "thinking", "reasoning", "theme"}
    assert {*columns, *aliases(Sampling), *aliases(Generation)} == KNOWN


def test_every_setting_of_sampling_that_a_row_may_have_is_an_option():
    ours = {**aliases(Sampling), "dry_sequence_breaker": "dry_sequence_breakers"}
    options = {each.name for each in fields(SamplingOptions)} - {"sampling_seq"}
    assert {ours.get(name, name) for name in options} == names(Sampling, column=True)


@pytest.mark.parametrize(
    ("group", "owner"), [(SamplingOptions, Sampling), (AnswerOptions, Generation)]
)
def test_help_tells_the_defaults(group: type, owner: type):
    """An option that is not given is None, and its help names the default; or it holds it."""
    ours = {each.name: each.default for each, _ in settings_of(owner)}
    hints = get_type_hints(group, include_extras=True)
    for each in fields(group):
        name = aliases(owner).get(each.name, each.name)
        if isinstance(ours.get(name), int | float | str):
            stated = re.search(r"\[default: (.+)\]", hints[each.name].__metadata__[0].help)
            assert each.default == ours[name] or (stated and float(stated[1]) == ours[name]), name


def test_a_name_means_one_setting():
    both = [pair for owner in BOTH for pair in settings_of(owner)]
    told = [n for each, about in both for n in (each.name, *about.aliases, *about.set_aliases)]
    assert len(told) == len(set(told))


def test_columns_that_tables_have_for_their_own_data_are_not_settings():
    assert not KNOWN & {"n", "predict", "num_predict", "reverse_prompt", "ban", "overflow"}


@pytest.mark.parametrize(
    ("generation", "digest"),
    [
        (Generation(), "c0919349b8d6"),
        (
            Generation(
                Sampling(0.3, seed=4, logit_bias=((3, float("-inf")),), min_keep=2),
                *(7, ("a", "b")),
                overflow="shift",
                ignore_eos=True,
                ban=("x",),
                constraint=Constraint("regex", "a+"),
                draft_max=3,
                logprobs=2,
                split_reasoning=False,
            ),
            "c3a731969d0f",
        ),
        (
            Generation(
                Sampling(samplers=("top_k",), dry_sequence_breakers=()),
                ban=("y", "z"),
            ),
            "48752ec548a7",
        ),
    ],
)
def test_a_batch_begun_before_continues(generation: Generation, digest: str):
    """The digests were made when fingerprints still listed their settings by hand."""
    assert fingerprint(generation) == f"{'m' * 12}-18db56d502e2-{digest}-avx2"
