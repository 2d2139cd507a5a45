"""The sampling options.

An option that was not given is None, so that the model file's recommendation can override the
default, but not a flag, variable or config file.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from lepton_cli.ui.arguments.options.groups import section

_sampling = section("Sampling")


def _number(flag: str, text: str, *aliases: str) -> Any:
    return _sampling(flag, *aliases, metavar="X", help=text)


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How the next token is sampled."""

    seed: Annotated[
        int | None,
        _sampling(
            "--seed",
            "-s",
            metavar="N",
            help="Random seed; -1: a new one for each run. [default: -1]",
        ),
    ] = None
    temp: Annotated[
        float | None,
        _number(
            "--temp",
            "Temperature; 0: always the most likely token. [default: 0.8]",
            "--temperature",
        ),
    ] = None
    top_k: Annotated[
        int | None,
        _number("--top-k", "Sample from the X most likely tokens; 0: off. [default: 40]"),
    ] = None
    top_p: Annotated[
        float | None,
        _number(
            "--top-p",
            "Sample from the fewest tokens with total probability X; 1: off. [default: 0.95]",
        ),
    ] = None
    min_p: Annotated[
        float | None,
        _number(
            "--min-p",
            "Drop tokens less likely than X times the most likely; 0: off. [default: 0.05]",
        ),
    ] = None
    typical: Annotated[
        float | None,
        _number("--typical", "Locally typical sampling; 1: off. [default: 1]", "--typical-p"),
    ] = None
    top_nsigma: Annotated[
        float | None,
        _number(
            "--top-nsigma",
            "Drop logits X standard deviations below the largest; -1: off. [default: -1]",
            "--top-n-sigma",
        ),
    ] = None
    xtc_probability: Annotated[
        float | None,
        _number("--xtc-probability", "Probability of XTC sampling; 0: off. [default: 0]"),
    ] = None
    xtc_threshold: Annotated[
        float | None,
        _number(
            "--xtc-threshold", "XTC drops tokens above probability X but the last. [default: 0.1]"
        ),
    ] = None
    repeat_last_n: Annotated[
        int | None,
        _number("--repeat-last-n", "How many last tokens the penalties consider. [default: 64]"),
    ] = None
    repeat_penalty: Annotated[
        float | None,
        _number(
            "--repeat-penalty",
            "Penalty for tokens that occurred, as a factor; 1: off. [default: 1]",
        ),
    ] = None
    presence_penalty: Annotated[
        float | None,
        _number("--presence-penalty", "Penalty for tokens that occurred; 0: off. [default: 0]"),
    ] = None
    frequency_penalty: Annotated[
        float | None,
        _number(
            "--frequency-penalty", "Penalty for each time a token occurred; 0: off. [default: 0]"
        ),
    ] = None
    dry_multiplier: Annotated[
        float | None,
        _number(
            "--dry-multiplier", "Strength of DRY, against repeated phrases; 0: off. [default: 0]"
        ),
    ] = None
    dry_base: Annotated[
        float | None,
        _number("--dry-base", "Growth of DRY with the phrase's length. [default: 1.75]"),
    ] = None
    dry_allowed_length: Annotated[
        int | None, _number("--dry-allowed-length", "Tokens that DRY lets repeat. [default: 2]")
    ] = None
    dry_penalty_last_n: Annotated[
        int | None,
        _number("--dry-penalty-last-n", "How many last tokens DRY considers. [default: 64]"),
    ] = None
    dry_sequence_breaker: Annotated[
        list[str] | None,
        _sampling(
            "--dry-sequence-breaker",
            metavar="TEXT",
            help="DRY does not look back beyond TEXT; none: no limit. Repeatable.",
        ),
    ] = None
    dynatemp_range: Annotated[
        float | None,
        _number(
            "--dynatemp-range", "Dynamic temperature: by how much it varies; 0: off. [default: 0]"
        ),
    ] = None
    dynatemp_exp: Annotated[
        float | None, _number("--dynatemp-exp", "Dynamic temperature: its exponent. [default: 1]")
    ] = None
    mirostat: Annotated[
        int | None, _number("--mirostat", "Mirostat version 1 or 2; 0: off. [default: 0]")
    ] = None
    mirostat_lr: Annotated[
        float | None, _number("--mirostat-lr", "Mirostat: learning rate. [default: 0.1]")
    ] = None
    mirostat_ent: Annotated[
        float | None, _number("--mirostat-ent", "Mirostat: target entropy. [default: 5]")
    ] = None
    adaptive_target: Annotated[
        float | None,
        _number(
            "--adaptive-target", "Adaptive sampling: target probability; -1: off. [default: -1]"
        ),
    ] = None
    adaptive_decay: Annotated[
        float | None,
        _number("--adaptive-decay", "Adaptive sampling: decay of past tokens. [default: 0.9]"),
    ] = None
    samplers: Annotated[
        str | None,
        _sampling("--samplers", metavar="A;B;...", help="The samplers to use, in order, by name."),
    ] = None
    sampling_seq: Annotated[
        str | None,
        _sampling(
            "--sampling-seq",
            "--sampler-seq",
            metavar="edskypmxt",
            help="The sampler chain as letters.",
        ),
    ] = None
    logit_bias: Annotated[
        list[str] | None,
        _sampling(
            *("--logit-bias", "-l"),
            metavar="ID+X|TEXT-X",
            help="Add X to the logit of a token id, or of each token of a text. Repeatable.",
        ),
    ] = None
