"""Two models side by side: a table, and the same figures as JSON."""

from dataclasses import asdict, dataclass

from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.loss.comparison import Comparison
from lepton_cli.engine.loss.estimates import Estimate
from lepton_cli.engine.model import Model
from lepton_cli.ui.reports.numbers import amount, columns, size

SCHEMA = "lepton.compare.v1"
SHOWN = {50.0: "median", 90.0: "90 %", 95.0: "95 %", 99.0: "99 %", 99.9: "99.9 %", 100.0: "maximum"}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the models; `bytes` of its files, `memory` with its cache and buffers."""

    model: str
    path: str
    backend: str
    bytes: int
    parameters: int
    memory: int

    @property
    def bits(self) -> float:
        """Of the files, a weight."""
        return 8 * self.bytes / self.parameters


def side_of(model: Model) -> Side:
    return Side(
        model=model.name,
        path=str(model.path),
        backend=model.backend,
        bytes=model.file_bytes,
        parameters=model.parameter_count,
        memory=model.plan.total,
    )


def comparison_table(found: Comparison, sides: tuple[Side, Side]) -> str:
    figures, (one, other) = found.divergence, sides
    both = figures.reference_loss.exponential(), figures.loss.exponential()
    head = [
        ("", "A", "B", "B / A"),
        ("model", one.model, other.model, ""),
        ("file size", size(one.bytes), size(other.bytes), _ratio(other.bytes, one.bytes)),
        ("parameters", amount(one.parameters), amount(other.parameters), ""),
        ("bits per weight", f"{one.bits:.2f}", f"{other.bits:.2f}", _ratio(other.bits, one.bits)),
        ("memory", size(one.memory), size(other.memory), _ratio(other.memory, one.memory)),
        ("tokens per second", *(f"{rate:.1f}" for rate in found.rates), _ratio(*found.rates[::-1])),
        ("perplexity", *map(_shown, both), _shown(figures.log_ratio.exponential())),
    ]
    quantiles = figures.divergence_quantiles()
    rest = [
        ("KL divergence of B from A", _shown(figures.mean, 6)),
        *((f"  {name}", f"{quantiles[percent]:.6f}") for percent, name in SHOWN.items()),
        ("same most likely token", f"{_shown(figures.same_top.scaled(100), 2)} %"),
        ("probability of the right token", f"{_shown(figures.change.scaled(100), 3)} %"),
        ("  root mean square", f"{_shown(figures.rms_change.scaled(100), 3)} %"),
        ("correlation of the losses", f"{100 * figures.correlation:.2f} %"),
    ]
    scored = f"{figures.scored} tokens of {found.done} windows were scored\n"
    return f"{columns(head)}\n{columns(rest)}\n{scored}"


def comparison_record(found: Comparison, sides: tuple[Side, Side]) -> dict[str, Plain]:
    figures = found.divergence
    losses = figures.reference_loss, figures.loss
    models: list[Plain] = [
        {
            **asdict(side),
            "bits_per_weight": side.bits,
            "tokens_per_second": rate,
            "perplexity": _pair(loss.exponential()),
            "loss": _pair(loss),
        }
        for side, rate, loss in zip(sides, found.rates, losses, strict=True)
    ]
    return {
        "schema": SCHEMA,
        "models": models,
        "windows": found.done,
        "windows_of_text": found.total,
        "scored_tokens": figures.scored,
        "perplexity_ratio": _pair(figures.log_ratio.exponential()),
        "log_perplexity_ratio": _pair(figures.log_ratio),
        "correlation": figures.correlation,
        "kl_divergence": {
            **_pair(figures.mean),
            "percentiles": _by_percent(figures.divergence_quantiles()),
        },
        "same_top": _pair(figures.same_top),
        "probability_change": {
            **_pair(figures.change),
            "rms": _pair(figures.rms_change),
            "percentiles": _by_percent(figures.change_quantiles()),
        },
    }


def _pair(estimate: Estimate) -> dict[str, Plain]:
    return {"value": plain(estimate.value), "error": plain(estimate.error)}


def _by_percent(quantiles: dict[float, float]) -> dict[str, Plain]:
    return {f"{percent:g}": value for percent, value in quantiles.items()}


def _shown(estimate: Estimate, digits: int = 4) -> str:
    return f"{estimate.value:.{digits}f} +/- {estimate.error:.{digits}f}"


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}" if other else ""
