"""`lepton plan`: the memory that a model takes with each setting, as a table or JSON."""

import sys
from collections.abc import Iterator, Sequence
from itertools import product
from typing import cast

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted, gigabytes
from lepton_cli.engine.loading.estimates import Estimate, Estimates, Setting, estimate
from lepton_cli.engine.loading.plan import CacheTypes, LoadOptions
from lepton_cli.ui.arguments.lists import numbers, words
from lepton_cli.ui.arguments.options.plan import PlanOptions
from lepton_cli.ui.open_model import gpu_layers
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.gguf import GGUF

SCHEMA = "lepton.plan.v1"


def show(name: str, options: PlanOptions, *, json: bool) -> None:
    """Raises LeptonError."""
    path = resolve(name)
    base = LoadOptions(
        backend=options.backend or "auto",
        threads=options.threads if options.threads > 0 else None,
        ubatch=options.ubatch_size,
        spec_types="auto",
        pooling="if named",
    )
    layers = [gpu_layers(word) for word in words(options.gpu_layers, "auto")]
    found = estimate(GGUF.open(path), base, _contexts(options), _types(options), layers)
    if json:
        emit_json(sys.stdout, {"schema": SCHEMA, "path": str(path), **_plain(found)})
        return
    emit(sys.stdout, columns(list(_table(found)), right=range(8)) + _largest(found))
    if found.no_gpu and options.backend == "auto":
        note(found.no_gpu)


def _contexts(options: PlanOptions) -> list[int]:
    return numbers("-c", options.ctx_size, "", least=1) if options.ctx_size else []


def _types(options: PlanOptions) -> list[CacheTypes]:
    """Those asked for, which LoadOptions checks; none if none are."""
    given = options.cache_type_k, options.cache_type_v
    if not any(given):
        return []
    return [cast(CacheTypes, pair) for pair in product(*(words(each, "f16") for each in given))]


def _table(found: Estimates) -> Iterator[Sequence[str]]:
    """With columns for recurrent state and for a GPU only where there are such."""
    rows = [_row(each) for each in found.settings]
    head = ("context", "cache type", "weights", "cache", "state", "scratch", "other", "total")
    gpu = ("on the GPU", "layers there")
    used = [any(row[n] for row in rows) for n in range(len(rows[0]))]
    for row in ((*head, *gpu, "fits"), *rows):
        yield [cell for cell, wanted in zip(row, used, strict=True) if wanted]


def _row(each: Estimate) -> tuple[str, ...]:
    plan, placed = each.plan, each.gpu.placement if each.gpu else None
    return (
        str(plan.context),
        _type(each.setting),
        gigabytes(plan.weights),
        gigabytes(plan.cache),
        gigabytes(plan.state) if plan.state else "",
        gigabytes(plan.buffers),
        gigabytes(plan.process),
        gigabytes(plan.total),
        gigabytes(placed.gpu_bytes) if placed else "",
        f"{placed.layers_on_gpu} of {placed.layers}" if placed else "",
        "no" if each.obstacle else "yes",
    )


def _type(setting: Setting) -> str:
    return setting.kv[0] if setting.kv[0] == setting.kv[1] else "/".join(setting.kv)


def _largest(found: Estimates) -> str:
    """The memory that is free, and the longest contexts that fit into it."""
    several = len({setting.gpu_layers for setting in found.largest}) > 1
    lines = [str(found.free), f"the model was trained for {counted(found.trained, 'token')}"]
    for setting, best in found.largest.items():
        what = _type(setting) + (f", -ngl {setting.gpu_layers}" if several else "")
        fits = counted(best.plan.longest, "token") if best else "none"
        lines.append(f"longest context that fits ({what}): {fits}")
    return "".join(f"{line}\n" for line in lines)


def _plain(found: Estimates) -> dict[str, Plain]:
    largest: list[Plain] = [
        {**_plain_setting(setting), "context": best.plan.longest if best else None}
        for setting, best in found.largest.items()
    ]
    return {
        "trained_context": found.trained,
        "free": {"bytes": found.free.bytes, "reason": found.free.reason},
        "settings": [_plain_estimate(each) for each in found.settings],
        "largest": largest,
        "no_gpu": found.no_gpu,
    }


def _plain_setting(setting: Setting) -> dict[str, Plain]:
    keys, values = setting.kv
    return {"cache_type_k": keys, "cache_type_v": values, "gpu_layers": setting.gpu_layers}


def _plain_estimate(each: Estimate) -> dict[str, Plain]:
    plan, use = each.plan, each.gpu
    gpu: Plain = None
    if use is not None:
        placed = use.placement
        gpu = {"name": str(use.card), "layers": placed.layers_on_gpu, "bytes": placed.gpu_bytes}
    return {
        **_plain_setting(each.setting),
        "context": plan.context,
        "fits": each.obstacle is None,
        "obstacle": each.obstacle,
        "bytes": {
            "weights": plan.weights,
            "cache": plan.cache,
            "state": plan.state,
            "scratch": plan.buffers,
            "other": plan.process,
            "total": plan.total,
        },
        "gpu": gpu,
    }
