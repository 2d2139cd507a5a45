"""The options of `lepton plan`, named like those of `lepton run`; lists are parsed later."""

from dataclasses import dataclass
from typing import Annotated, get_args

from lepton_cli.ui.arguments.options.groups import section
from lepton_cli.ui.arguments.options.model import GPU_LAYERS, BackendFlag, KVType, ThreadsFlag

_setting = section("Settings")


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Several values (comma-separated, or a repeated flag) give every combination."""

    ctx_size: Annotated[
        list[str] | None,
        _setting(
            *("--ctx-size", "-c"),
            metavar="N,...",
            help="Context lengths. [default: 4096 and doubled, up to the trained one]",
        ),
    ] = None
    cache_type_k: Annotated[
        list[str] | None,
        _setting(
            *("--cache-type-k", "-ctk"),
            metavar="T,...",
            help=f"Data types of the keys in the KV cache: {', '.join(get_args(KVType))}. "
            "[default: f16, q8_0 and q4_0, for values too]",
        ),
    ] = None
    cache_type_v: Annotated[
        list[str] | None,
        _setting(
            *("--cache-type-v", "-ctv"),
            metavar="T,...",
            help="Data types of the values. [default: f16 if -ctk is given]",
        ),
    ] = None
    gpu_layers: Annotated[
        list[str] | None,
        _setting(
            *GPU_LAYERS, metavar="N,...", help="Layers on the GPU, or auto, or all. [default: auto]"
        ),
    ] = None
    ubatch_size: Annotated[
        int, _setting("--ubatch-size", "-ub", metavar="N", min=1, help="Prompt tokens per pass.")
    ] = 256
    backend: BackendFlag = None
    threads: ThreadsFlag = -1
