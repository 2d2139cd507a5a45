"""Converts options to the engine's settings; options override the author's recommendations."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_cli.engine.decoding.generation import Diffusion, Generation, checked_variables
from lepton_cli.engine.library.catalogue import load_aliases
from lepton_cli.engine.model import Model
from lepton_cli.engine.sampling.author_defaults import apply_author_defaults
from lepton_cli.engine.sampling.sampler import Sampling, parse_samplers, parse_sampling_sequence
from lepton_cli.engine.sampling.setting import aliases
from lepton_cli.ui.arguments.constraints import constraint_of
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.chat import ConversationOptions
from lepton_cli.ui.arguments.options.diffusion import DiffusionOptions
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from lepton_cli.ui.arguments.prompt import expand_escapes
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError

if TYPE_CHECKING:
    from lepton_cli.engine.jobs.cluster import ClusterModel

BIAS = re.compile(r"(.+)([+-](?:inf|[0-9.]+(?:e[+-]?[0-9]+)?))", re.DOTALL | re.IGNORECASE)


def generation_settings(
    answer: AnswerOptions,
    talk: ConversationOptions,
    sampling: SamplingOptions,
    model: "Model | ClusterModel",
    name: str,
    *,
    escape: bool,
) -> Generation:
    """`name` is the model as typed: an alias has settings of its own."""
    stops, bans = answer.reverse_prompt or [], answer.ban or []
    if "" in bans:
        raise UsageError("a --ban is empty", "give the text to ban")
    given = _given(sampling, escape=escape)
    if "logit_bias" in given:
        texts = given["logit_bias"]
        given["logit_bias"] = tuple(pair for text in texts for pair in _biases(text, model))
    return Generation(
        sampling=_sampling(given, model, name),
        max_tokens=None if answer.predict < 0 else answer.predict,
        stop=tuple(expand_escapes(stop, "-r") if escape else stop for stop in stops),
        overflow=answer.overflow,
        ignore_eos=answer.ignore_eos,
        reasoning_budget=answer.reasoning_budget,
        reasoning_budget_message=answer.reasoning_budget_message,
        **template_settings(talk),
        ban=tuple(expand_escapes(text, "--ban") if escape else text for text in bans),
        draft_max=answer.draft_max,
        draft_p_min=answer.draft_p_min,
        constraint=constraint_of(answer),
    )


def template_settings(talk: ConversationOptions) -> dict[str, Any]:
    """What the chat template gets besides messages, by the settings' names."""
    preserve = talk.reasoning_preserve
    return {
        "reasoning_effort": talk.reasoning_effort or "",
        "reasoning_preserve": "auto" if preserve is None else "on" if preserve else "off",
        "chat_template_kwargs": checked_variables(talk.chat_template_kwargs),
    }


def note_without_template(answer: AnswerOptions, talk: ConversationOptions) -> None:
    """Names the options that only a chat template makes use of, for a raw prompt."""
    given = {
        "--reasoning-budget": answer.reasoning_budget != -1,
        "--reasoning-budget-message": bool(answer.reasoning_budget_message),
        "--reasoning-effort": bool(talk.reasoning_effort),
        "--reasoning-preserve": talk.reasoning_preserve is not None,
        "--chat-template-kwargs": bool(talk.chat_template_kwargs),
        "--no-think": not talk.think,
    }
    names = [name for name, is_given in given.items() if is_given]
    if names:
        verb = "are" if len(names) > 1 else "is"
        note(f"{' and '.join(names)} {verb} ignored: a raw prompt has no chat template")


def diffusion_settings(options: DiffusionOptions) -> Diffusion:
    """The options' names are those of the settings, behind a prefix."""
    names = [each.name.removeprefix("diffusion_") for each in fields(options)]
    return Diffusion(**{name: getattr(options, f"diffusion_{name}") for name in names})


def _sampling(given: Mapping[str, Any], model: "Model | ClusterModel", name: str) -> Sampling:
    """The given options, else the file's values, else the catalogue's, else the defaults."""
    alias = None if Path(name).exists() else load_aliases().get(name.lower())
    advised = _spelled(alias.defaults) if alias else {}
    base = apply_author_defaults(replace(Sampling(), **advised), model.metadata, given)
    return replace(base, **given)


def _given(options: SamplingOptions, *, escape: bool) -> dict[str, Any]:
    """The settings that the user gave, by their names in `Sampling`."""
    if options.samplers is not None and options.sampling_seq is not None:
        raise UsageError("--samplers and --sampling-seq are both given", "give one of them")
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    given = _spelled({name: value for name, value in values.items() if value not in (None, [], ())})
    if given.get("seed", 0) < 0:
        given["seed"] = None
    if "samplers" in given:
        given["samplers"] = parse_samplers(given["samplers"])
    if "sampling_seq" in given:
        given["samplers"] = parse_sampling_sequence(given.pop("sampling_seq"))
    if "dry_sequence_breaker" in given:
        breakers = given.pop("dry_sequence_breaker")
        given["dry_sequence_breakers"] = _breakers(breakers, escape=escape)
    return given


def _spelled(values: Mapping[str, Any]) -> dict[str, Any]:
    ours = aliases(Sampling)
    return {ours.get(name, name): value for name, value in values.items()}


def _biases(given: str, model: "Model | ClusterModel") -> list[tuple[int, float]]:
    """Parses `15043+1` or ` never-inf`: a token id or text, and the bias of its tokens."""
    match = BIAS.fullmatch(given)
    try:
        text, bias = match.groups() if match else ("", "")
        added = float(bias)
    except ValueError as error:
        hint = "like -l 15043+1, -l 15043-inf or -l ' word-2.5'; `lepton tokenize` shows the ids"
        raise UsageError(f"--logit-bias {given!r} is not a token and a bias", hint) from error
    if text.isascii() and text.isdigit():
        return [(int(text), added)]
    tokens = model.tokenizer.encode(text, add_special=False, parse_special=True)
    return [(token, added) for token in set(tokens)]


def _breakers(texts: Sequence[str], *, escape: bool) -> tuple[str, ...]:
    """The sequence breakers; `none` means no breakers, as in llama.cpp."""
    if "none" in texts:
        return ()
    flag = "--dry-sequence-breaker"
    return tuple(expand_escapes(text, flag) if escape else text for text in texts)
