"""The options of models that generate by diffusion; their names are llama.cpp's."""

from dataclasses import dataclass
from typing import Annotated, Any

from lepton_cli.ui.arguments.options.groups import section

_diffusion = section("Models that generate by diffusion (Dream, LLaDA, RND1)")


def _number(flag: str, text: str, metavar: str = "N", **limits: float) -> Any:
    return _diffusion(f"--diffusion-{flag}", metavar=metavar, help=text, **limits)


@dataclass(frozen=True, slots=True)
class DiffusionOptions:
    """How masked tokens are filled in."""

    diffusion_steps: Annotated[int, _number("steps", "Fill in all tokens in N steps.", min=1)] = 128
    diffusion_block_length: Annotated[
        int, _number("block-length", "Fill in N tokens after the other; 0: all at once.", min=0)
    ] = 0
    diffusion_algorithm: Annotated[
        int,
        _number(
            "algorithm",
            "What is filled in first: 0 and 3 chance, 1 the least entropy, 2 the largest margin, "
            "4 the most likely token.",
            min=0,
            max=4,
        ),
    ] = 4
    diffusion_alg_temp: Annotated[
        float, _number("alg-temp", "Draw what is filled in; 0: the surest.", "X", min=0)
    ] = 0.0
    diffusion_eps: Annotated[
        float, _number("eps", "The last time, if all are filled in at once.", "X", min=0, max=1)
    ] = 1e-3
    diffusion_cfg_scale: Annotated[
        float, _number("cfg-scale", "Guidance: heed the prompt more; 0: off.", "X", min=0)
    ] = 0.0
