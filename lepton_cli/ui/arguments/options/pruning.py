"""The options of `lepton prune`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lepton_cli.ui.arguments.options.groups import section

_what = section("What to leave out")
_result = section("Result")


@dataclass(frozen=True, slots=True)
class PruningOptions:
    """How much of what is left out."""

    layers: Annotated[
        int, _what("--layers", metavar="N", min=0, help="Leave out the N least important layers.")
    ] = 0
    drop_layers: Annotated[
        str | None,
        _what(
            *("--drop-layers", "--prune-layers"),
            metavar="L,...",
            help="Leave out these layers, counted from 0: 20,21 or 20-23.",
        ),
    ] = None
    rank: Annotated[
        Literal["influence", "kld"],
        _what(
            "--rank",
            help="What makes a layer important: how far it turns what enters it, or how far the "
            "model without it diverges (a trial for each layer that is left).",
        ),
    ] = "influence"
    channels: Annotated[
        float,
        _what(
            "--channels",
            metavar="SHARE",
            help="Leave out this share of the feed-forward channels: 0.25.",
        ),
    ] = 0.0
    heads: Annotated[
        float,
        _what(
            "--heads",
            metavar="SHARE",
            help="Leave out this share of the KV heads, with their query heads.",
        ),
    ] = 0.0
    experts: Annotated[
        float,
        _what(
            "--experts", metavar="SHARE", help="Leave out this share of the experts of each layer."
        ),
    ] = 0.0
    sparsity: Annotated[
        str | None,
        _what(
            "--sparsity",
            metavar="SHARE|N:M",
            help="Set weights to zero instead: a share (0.5), or 2:4 (2 of 4 neighbours stay).",
        ),
    ] = None
    target_size: Annotated[
        str | None,
        _what(
            "--target-size",
            metavar="SIZE",
            help="Leave out so much that the file has at most this size: 3.5G.",
        ),
    ] = None
    by: Annotated[
        Literal["layers", "channels", "heads", "experts"],
        _what("--by", help="What --target-size leaves out."),
    ] = "layers"
    imatrix: Annotated[
        str | None,
        _what(
            "--imatrix",
            metavar="FILE",
            help="Importance of columns (lepton imatrix), for channels, heads, experts and zeros.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class PruneResultOptions:
    """What becomes of it."""

    dry_run: Annotated[
        bool, _result("--dry-run", help="Only tell what would be left out, and the size.")
    ] = False
    overwrite: Annotated[bool, _result("--overwrite", help="Replace OUT if it exists.")] = False
    json: Annotated[bool, _result("--json", help="Print one JSON object.")] = False
