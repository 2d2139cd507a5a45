"""`lepton run --candidates N`, `--beams N`: several answers to one prompt."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from threading import Event as Flag

from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.arguments.options.prompt import RunOptions
from lepton_cli.ui.reports.code_blocks import Which, extracted, missing_block, without_block
from lepton_cli.ui.reports.report import Start, ending, extraction
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.errors import LeptonError, UsageError

SEPARATOR = "---\n"  # between answers in plain text
SEEDS = 1 << 64
DRAWS = 4  # per candidate, at most
Answer = tuple[str, dict[str, Plain], bool, LeptonError | None]
"""The text, its record, whether it ended, and why it does not meet its constraint."""


def check_several(how: RunOptions) -> None:
    """Raises UsageError for options that exclude each other."""
    if how.beams and how.candidates > how.beams:
        message = f"--candidates {how.candidates} of --beams {how.beams}"
        raise UsageError(message, "a search finds as many answers as it has beams")
    if how.beams and how.logprobs is not None:
        raise UsageError("--beams and --logprobs are both given", "--json has each beam's logprob")
    if how.logprobs is not None and not (how.json or how.jsonl):
        raise UsageError("--logprobs needs JSON output", "add --json or --jsonl")
    if how.extract and how.extract_last:
        raise UsageError("--extract and --extract-last are both given", "give one of them")


def wanted_block(how: RunOptions) -> Which | None:
    if how.extract_last:
        return "last"
    return "first" if how.extract else None


def print_several(start: Start, ids: list[int], how: RunOptions, flag: Flag) -> bool:
    """Prints the answers; returns whether none was interrupted. Raises the first error.

    Unmet constraints are raised after all answers are printed.
    """
    found = _beams(start, ids, how, flag) if how.beams else _candidates(start, ids, how, flag)
    answers: list[Plain] = []
    ended, lacking = True, None
    for n, (text, record, whole, unmet) in enumerate(found):
        ended, lacking = ended and whole, lacking or unmet
        shown = text if start.extract is None else extracted(text, start.extract) or ""
        if how.jsonl:
            emit_json(sys.stdout, {"event": "candidate", "index": n, **record})
        elif how.json:
            answers.append(record)
        else:
            emit(sys.stdout, SEPARATOR * (n > 0) + shown + "\n" * (not shown.endswith("\n")))
    if how.json:
        emit_json(sys.stdout, {**start.record(), "candidates": answers})
    if ended and lacking:
        raise lacking
    return ended


def _candidates(start: Start, ids: list[int], how: RunOptions, flag: Flag) -> Iterator[Answer]:
    """Different answers, in the order of their seeds; the first is the one that `run` gives.

    A repeated text is replaced by one with the next seed, up to DRAWS times their number.
    """
    wanted, seen, drawn = how.candidates, set[str](), 0
    most = wanted * DRAWS if start.generation.sampling.temperature > 0 else 1
    while len(seen) < wanted and drawn < most and not flag.is_set():
        count = min(wanted - len(seen), most - drawn)
        for answer in _draw(start, ids, range(drawn, drawn + count), flag):
            if answer[0] not in seen:
                seen.add(answer[0])
                yield answer
        drawn += count
    if len(seen) < wanted and not flag.is_set():
        found, draws = counted(len(seen), "different answer"), counted(drawn, "draw")
        note(f"{found} of {wanted}: {draws} found no more")


def _draw(start: Start, ids: list[int], turns: range, flag: Flag) -> Iterator[Answer]:
    """Answers with consecutive seeds, generated as a batch."""
    generation, first = start.generation, start.generation.sampling.seed or 0
    settings = [replace(generation.sampling, seed=(first + n) % SEEDS) for n in turns]
    requests = [
        Request(n, tuple(ids), replace(generation, sampling=sampling))
        for n, sampling in enumerate(settings)
    ]
    outcomes = {outcome.key: outcome for outcome in start.model.batch(requests, None, flag)}
    for n, request in enumerate(requests):
        outcome = outcomes[n]
        if outcome.done is None:
            raise outcome.error or LeptonError("the answer was lost")
        done = outcome.done
        if start.extract is not None:
            done = without_block(done, outcome.text, start.extract)
        record: dict[str, Plain] = {
            "seed": request.generation.sampling.seed,
            "text": outcome.text,
            **extraction(start, outcome.text),
            "reasoning": outcome.reasoning or None,
            **ending(start, done),
        }
        yield outcome.text, record, done.reason != "interrupted", done.unmet


def _beams(start: Start, ids: list[int], how: RunOptions, flag: Flag) -> Iterator[Answer]:
    if start.generation.constraint is not None:
        raise UsageError(
            "--beams cannot be combined with a constraint", "remove --beams or the constraint"
        )
    if start.generation.ban:
        raise UsageError("--beams cannot be combined with --ban", "remove one of them")
    for beam in start.model.beams(ids, start.generation, how.beams, flag)[: how.candidates]:
        unmet = beam.unmet
        if unmet is None and start.extract is not None:
            unmet = missing_block(beam.reason, beam.text, start.extract)
        record: dict[str, Plain] = {
            "text": beam.text,
            **extraction(start, beam.text),
            "reasoning": beam.reasoning or None,
            "finish_reason": beam.reason,
            "unmet": unmet.message if unmet else None,
            "token_ids": list(beam.token_ids),
            "logprob": plain(beam.logprob),
            "score": plain(beam.score),
        }
        yield beam.text, record, beam.reason != "interrupted", unmet
