"""The table of drafts that were measured for a model, the best one marked."""

from collections.abc import Iterator, Sequence

from lepton_cli.engine.drafting.candidates import Candidate
from lepton_cli.engine.drafting.measuring import Measured
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.ui.reports.numbers import columns

Result = tuple[Candidate, Measured]
HEADER = ("", "draft", "drafted", "accepted", "", "a pass", "t/s", "plain", "speed-up")


def table(results: Sequence[Result], best: Candidate | None) -> str:
    """`plain`: tokens per second of plain decoding in the same rounds."""
    rows = [HEADER, *(_row(*result, is_best=result[0] is best) for result in results)]
    return columns(rows, right=range(2, len(HEADER) - 1))


def _row(candidate: Candidate, found: Measured, *, is_best: bool) -> tuple[str, ...]:
    return (
        "*" if is_best else "",
        candidate.name,
        str(found.drafted),
        str(found.accepted),
        f"{found.share:.0%}",
        f"{found.accepted_per_check:.1f}",
        _rate(found.rate),
        _rate(found.plain_rate),
        f"{found.speedup:.2f}x +/- {found.spread:.2f}",
    )


def _rate(tokens_per_second: float) -> str:
    """Three digits, so that the table fits into 80 columns."""
    return f"{tokens_per_second:.{0 if tokens_per_second >= 100 else 1}f}"


def records(results: Sequence[Result], commands: Sequence[str]) -> Iterator[dict[str, Plain]]:
    """`commands`: what to type for each."""
    for (candidate, found), command in zip(results, commands, strict=True):
        yield {
            "name": candidate.name,
            "type": candidate.kind,
            "file": None if candidate.path is None else str(candidate.path),
            "layers_left_out": [*sorted(candidate.without)],
            "drafted_tokens": found.drafted,
            "accepted_tokens": found.accepted,
            "accepted_share": found.share,
            "accepted_per_check": found.accepted_per_check,
            "tokens_per_second": found.rate,
            "plain_tokens_per_second": found.plain_rate,
            "speedup": found.speedup,
            "spread": found.spread,
            "speedups": [each.speedup for each in found.rounds],
            "tokens": sum(each.guessed.tokens for each in found.rounds),
            "command": command,
        }
