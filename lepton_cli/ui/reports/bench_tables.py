"""Benchmark results in llama-bench's formats: Markdown, JSON, JSON lines, CSV.

llama-bench's fields come first, under its names; Lepton's own follow.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol, TextIO

from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.measure.benchmark import Profile, Result, Schedule, deviation, fastest
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.output import emit, emit_json

WIDTHS = {  # of Markdown columns; text is left-aligned
    "model": -30,
    "size": 10,
    "params": 10,
    "backend": -10,
    "ngl": 4,
    "threads": 7,
    "n_ubatch": 8,
    "type_k": -6,
    "type_v": -6,
    "test": 15,
    "t/s": 20,
    "of limit": 8,
}


class ResultTable(Protocol):
    """Writes results as they come; the header with the first, so a failed run prints nothing."""

    def __init__(self, stream: TextIO, schedule: Schedule) -> None: ...
    def add(self, result: Result) -> None: ...
    def end(self) -> None: ...


class Markdown:
    """One row per test, with columns for options that differ from the defaults; then profiles."""

    def __init__(self, stream: TextIO, schedule: Schedule) -> None:
        self._stream = stream
        hidden = set[str]()
        if {setup.ubatch for setup in schedule.setups} == {512}:
            hidden.add("n_ubatch")
        if {setup.gpu_layers for setup in schedule.setups} == {"auto"}:
            hidden.add("ngl")
        for index, name in enumerate(("type_k", "type_v")):
            if {setup.kv[index] for setup in schedule.setups} == {"f16"}:
                hidden.add(name)
        self._columns = [name for name in WIDTHS if name not in hidden]
        self._results: list[Result] = []

    def add(self, result: Result) -> None:
        if not self._results:
            self._row({name: name for name in WIDTHS})
            self._row({name: _rule(width) for name, width in WIDTHS.items()})
        self._results.append(result)
        self._row(_cells(result))

    def end(self) -> None:
        """Prints the highest limits measured, and the profiles."""
        for result in self._results:
            for profile in result.profiles:
                emit(self._stream, f"\n{_title(result, profile)}\n\n{_profile_table(profile)}")
        if limits := fastest(self._results):
            shown = f"{limits.bandwidth / 1e9:.1f} GB/s"
            if limits.products:
                shown += f", {limits.products / 1e9:.0f} GMAC/s of {limits.numbers}"
            emit(self._stream, f"\nlimits: {shown}\n")
        first = self._results[0]
        emit(self._stream, f"build: lepton {first.facts.build} ({first.arithmetic})\n")

    def _row(self, cells: Mapping[str, str]) -> None:
        padded = [
            cells[name].rjust(width) if (width := WIDTHS[name]) > 0 else cells[name].ljust(-width)
            for name in self._columns
        ]
        emit(self._stream, f"| {' | '.join(padded)} |\n")


class Json:
    """One JSON array."""

    def __init__(self, stream: TextIO, schedule: Schedule) -> None:
        self._stream, self._separator = stream, "[\n"

    def add(self, result: Result) -> None:
        text = json.dumps(record(result), indent=2, ensure_ascii=False, allow_nan=False)
        emit(self._stream, self._separator + text)
        self._separator = ",\n"

    def end(self) -> None:
        emit(self._stream, "\n]\n")


class JsonLines:
    def __init__(self, stream: TextIO, schedule: Schedule) -> None:
        self._stream = stream

    def add(self, result: Result) -> None:
        emit_json(self._stream, record(result))

    def end(self) -> None:
        """No footer."""


class Csv:
    """CSV without the single samples, like llama-bench."""

    def __init__(self, stream: TextIO, schedule: Schedule) -> None:
        self._stream, self._begun = stream, False

    def add(self, result: Result) -> None:
        single = {
            name: value for name, value in record(result).items() if not isinstance(value, list)
        }
        if not self._begun:
            emit(self._stream, ",".join(single) + "\n")
            self._begun = True
        line = io.StringIO()
        csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(single.values())
        emit(self._stream, line.getvalue())

    def end(self) -> None:
        """No footer."""


TABLES: Mapping[str, type[ResultTable]] = {
    "md": Markdown,
    "json": Json,
    "jsonl": JsonLines,
    "csv": Csv,
}


def record(result: Result) -> dict[str, Plain]:
    """Times in nanoseconds, speeds in tokens/s, limits in bytes/s and products/s."""
    facts, setup, trial = result.facts, result.setup, result.trial
    assert setup.threads is not None, "a result has a number of threads"
    limits, least, share = result.limits, result.limit_seconds, result.of_limit
    fields: dict[str, Plain] = {
        "build_commit": facts.build,
        "build_number": 0,
        "cpu_info": facts.cpu,
        "gpu_info": result.gpu,
        "backends": setup.backend.upper(),
        "model_filename": facts.path,
        "model_type": facts.model,
        "model_size": facts.size,
        "model_n_params": facts.parameter_count,
        "n_batch": setup.ubatch,
        "n_ubatch": setup.ubatch,
        "n_threads": setup.threads,
        "type_k": setup.kv[0],
        "type_v": setup.kv[1],
        "n_gpu_layers": setup.gpu_layers,
        "n_prompt": trial.prompt,
        "n_gen": trial.generated,
        "n_depth": trial.depth,
        "test_time": result.begun.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "avg_ns": round(sum(result.samples_ns) / len(result.samples_ns)),
        "stddev_ns": round(deviation(result.samples_ns)),
        "avg_ts": round(result.rate, 6),
        "stddev_ts": round(deviation(result.samples), 6),
        "samples_ns": list(result.samples_ns),
        "samples_ts": [round(sample, 6) for sample in result.samples],
        "arithmetic": result.arithmetic,
        "limit_read": _rounded(limits.bandwidth if limits else None),
        "limit_products": _rounded(limits.products if limits else None),
        "work_bytes": result.bytes_read,
        "work_products": result.macs,
        "limit_ns": _rounded(least and 1e9 * least),
        "of_limit": share and round(share, 6),
    }
    if result.profiles:
        fields["profiles"] = [asdict(profile) for profile in result.profiles]
    return fields


def _cells(result: Result) -> dict[str, str]:
    return {
        "model": result.facts.model,
        "size": _size(result.facts.size),
        "params": _parameters(result.facts.parameter_count),
        "backend": result.setup.backend.upper(),
        "ngl": str(result.setup.gpu_layers),
        "threads": str(result.setup.threads),
        "n_ubatch": str(result.setup.ubatch),
        "type_k": result.setup.kv[0],
        "type_v": result.setup.kv[1],
        "test": result.trial.name,
        "t/s": f"{result.rate:.2f} ± {deviation(result.samples):.2f}",
        "of limit": "" if result.of_limit is None else f"{100 * result.of_limit:.1f} %",
    }


def _rounded(number: float | None) -> int | None:
    return None if number is None else round(number)


def _rule(width: int) -> str:
    """The Markdown rule that sets a column's alignment."""
    return "-" * (abs(width) - 1) + (":" if width > 0 else "-")


def _size(count: int) -> str:
    """A size in powers of 1024, like llama-bench."""
    mebibytes = count / (1 << 20)
    return f"{mebibytes:.2f} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:.2f} GiB"


def _parameters(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count < 1e9 else f"{count / 1e9:.2f} B"


def _title(result: Result, profile: Profile) -> str:
    return f"{result.trial.name}, threads {result.setup.threads}: {profile.name}"


def _profile_table(profile: Profile) -> str:
    """A table of operators: milliseconds per pass, read and multiply rates."""
    rows = [("operator", "calls", "ms", "share", "GB/s", "GMAC/s")]
    for each in profile.operators:
        seconds = each.seconds or 1e-9  # the clock may not have advanced
        rows.append(
            (
                each.operator,
                str(each.calls),
                f"{1e3 * each.seconds:.3f}",
                f"{100 * each.seconds / (profile.seconds or 1e-9):.1f} %",
                f"{each.bytes / seconds / 1e9:.2f}",
                f"{each.operations / seconds / 1e9:.1f}",
            )
        )
    return columns(rows, right=range(1, 6))
