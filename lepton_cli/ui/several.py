"""`lepton run --candidates N`, `--beams N`: several answers to one prompt."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from threading import Event as Flag

from lepton_cli.engine.batching import Request
from lepton_cli.engine.plain import Plain, plain
from lepton_cli.ui.options import RunOptions
from lepton_cli.ui.output import emit, emit_json
from lepton_cli.ui.report import Start, ending
from quant.errors import LeptonError, UsageError

BETWEEN = "---\n"  # candidates that are not JSON
SEEDS = 1 << 64
Answer = tuple[str, dict[str, Plain], bool, LeptonError | None]
"""The text, its record, whether it ended, and why it is not what was asked for."""


def check_several(how: RunOptions) -> None:
    """Raises UsageError for what does not go together."""
    if how.beams and how.candidates > how.beams:
        message = f"--candidates {how.candidates} of --beams {how.beams}"
        raise UsageError(message, "a search finds as many answers as it has beams")
    if how.beams and how.logprobs is not None:
        raise UsageError("--beams and --logprobs are both given", "--json tells a beam's logprob")
    if how.logprobs is not None and not (how.json or how.jsonl):
        raise UsageError("--logprobs has no place in plain text", "add --json or --jsonl")


def print_several(start: Start, ids: list[int], how: RunOptions, flag: Flag) -> bool:
    """Prints the answers; whether none was interrupted. Raises the first error of an answer.

    That an answer is not what was asked for is raised when all are printed.
    """
    found = _beams(start, ids, how, flag) if how.beams else _candidates(start, ids, how, flag)
    answers: list[Plain] = []
    ended, lacking = True, None
    for n, (text, record, whole, unmet) in enumerate(found):
        ended, lacking = ended and whole, lacking or unmet
        if how.jsonl:
            emit_json(sys.stdout, {"event": "candidate", "index": n, **record})
        elif how.json:
            answers.append(record)
        else:
            emit(sys.stdout, BETWEEN * (n > 0) + text + "\n" * (not text.endswith("\n")))
    if how.json:
        emit_json(sys.stdout, {**start.record(), "candidates": answers})
    if ended and lacking:
        raise lacking
    return ended


def _candidates(start: Start, ids: list[int], how: RunOptions, flag: Flag) -> Iterator[Answer]:
    """In the order of their seeds: the first is the one that `run` alone would give."""
    generation, first = start.generation, start.generation.sampling.seed or 0
    seeds = [(first + n) % SEEDS for n in range(how.candidates)]
    settings = [replace(generation.sampling, seed=seed) for seed in seeds]
    requests = [
        Request(n, tuple(ids), replace(generation, sampling=sampling))
        for n, sampling in enumerate(settings)
    ]
    outcomes = {outcome.key: outcome for outcome in start.model.batch(requests, None, flag)}
    for n, request in enumerate(requests):
        outcome = outcomes[n]
        if outcome.done is None:
            raise outcome.error or LeptonError("the answer was lost")
        record: dict[str, Plain] = {
            "seed": request.generation.sampling.seed,
            "text": outcome.text,
            "reasoning": outcome.reasoning or None,
            **ending(start, outcome.done),
        }
        yield outcome.text, record, outcome.done.reason != "interrupted", outcome.done.unmet


def _beams(start: Start, ids: list[int], how: RunOptions, flag: Flag) -> Iterator[Answer]:
    if start.generation.constraint is not None:
        raise UsageError("--beams cannot keep to a form", "leave --beams or the form out")
    if start.generation.ban:
        raise UsageError("--beams knows no --ban", "leave one of them out")
    for beam in start.model.beams(ids, start.generation, how.beams, flag)[: how.candidates]:
        record: dict[str, Plain] = {
            "text": beam.text,
            "reasoning": beam.reasoning or None,
            "finish_reason": beam.reason,
            "unmet": beam.unmet.message if beam.unmet else None,
            "token_ids": list(beam.token_ids),
            "logprob": plain(beam.logprob),
            "score": plain(beam.score),
        }
        yield beam.text, record, beam.reason != "interrupted", beam.unmet
