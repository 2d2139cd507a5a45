"""Prints texts in the order of their scores."""

import sys
from collections.abc import Sequence

from lepton_cli.engine.jobs.rows import Row, id_of
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.vectors.ranking import Ranked
from lepton_cli.ui.terminal.output import emit, emit_json

DIGITS = 6  # of a score


def print_ranking(
    best: Sequence[Ranked], rows: Sequence[Row], texts: Sequence[str], *, jsonl: bool
) -> None:
    """A line for each: its score, a tab and its text, whose line ends become spaces."""
    for each in best:
        row, score = rows[each.number], float(f"{each.score:.{DIGITS}g}")
        if jsonl:
            name = id_of(row.columns, is_request=False)
            told: dict[str, Plain] = {"row": row.number, "id": name, "score": score}
            emit_json(sys.stdout, {**told, "text": texts[each.number]})
        else:
            line = " ".join(texts[each.number].splitlines())
            emit(sys.stdout, f"{score:.{DIGITS}g}\t{line}\n")
