"""Adapters beside a model; the options' names are llama.cpp's."""

from dataclasses import dataclass
from typing import Annotated

from lepton_cli.ui.arguments.options.groups import section

_adapters = section("Adapters")

LoraFlag = Annotated[
    list[str] | None,
    _adapters(
        "--lora",
        metavar="FILE[:SCALE]",
        help="A LoRA adapter (GGUF) of the model; several with commas. Repeatable.",
    ),
]
LoraScaledFlag = Annotated[
    list[str] | None,
    _adapters("--lora-scaled", metavar="FILE:SCALE", help="The same; the scale is required."),
]


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """Low-rank adapters alone."""

    lora: LoraFlag = None
    lora_scaled: LoraScaledFlag = None


ControlVectorFlag = Annotated[
    list[str] | None,
    _adapters(
        "--control-vector",
        metavar="FILE[:SCALE]",
        help="A control vector (GGUF), added behind layers; several with commas. Repeatable.",
    ),
]
ControlVectorScaledFlag = Annotated[
    list[str] | None,
    _adapters(
        "--control-vector-scaled", metavar="FILE:SCALE", help="The same; the scale is required."
    ),
]
ControlVectorLayersFlag = Annotated[
    tuple[int, int] | None,
    _adapters(
        "--control-vector-layer-range",
        metavar="START END",
        help="Only behind these layers, both included. [default: all that the file has]",
    ),
]
