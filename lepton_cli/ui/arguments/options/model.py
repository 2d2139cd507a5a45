"""Which model to use, and how to run it."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.adapters import (
    ControlVectorFlag,
    ControlVectorLayersFlag,
    ControlVectorScaledFlag,
    LoraFlag,
    LoraScaledFlag,
)
from lepton_cli.ui.arguments.options.groups import section

Backend = Literal["auto", "cpu", "cuda", "reference"]
GPU_LAYERS = ("--gpu-layers", "-ngl", "--n-gpu-layers")
KVType = Literal["f16", "f32", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "iq4_nl", "q4_0"]
MAX_THREADS = 1024

_model = section("Model")

ModelFlag = Annotated[
    str | None,
    _model(
        *("--model", "-m"),
        metavar="MODEL",
        help="The model (instead of the argument MODEL); -hf, -hff and -mu as in llama.cpp.",
        autocompletion=complete_model,
    ),
]
BackendFlag = Annotated[
    Backend | None,
    _model("--backend", help="Where to compute; auto: a GPU if one can be used. [default: auto]"),
]
GpuLayersFlag = Annotated[
    str,
    _model(
        *GPU_LAYERS,
        metavar="N|auto|all",
        help="Put the last N layers on the GPU; auto: as many as fit; 0: none.",
    ),
]
ThreadsFlag = Annotated[
    int,
    _model(
        *("--threads", "-t"),
        metavar="N",
        min=-1,
        max=MAX_THREADS,
        help="Number of threads; -1: one for each physical core.",
    ),
]
ContextFlag = Annotated[
    int,
    _model(
        "--ctx-size",
        "-c",
        metavar="N",
        help="Context length in tokens; 0: as the model was trained.",
    ),
]
WeightCacheFlag = Annotated[
    float,
    _model(
        "--weight-cache",
        metavar="GB",
        min=0,
        help="Disk space for packed weights, which make later starts faster; 0: none.",
    ),
]
CacheTypeKFlag = Annotated[
    KVType,
    _model(
        "--cache-type-k",
        "-ctk",
        metavar="TYPE",
        help=f"Data type of the keys in the KV cache: {', '.join(get_args(KVType))}.",
    ),
]
CacheTypeVFlag = Annotated[
    KVType,
    _model(
        "--cache-type-v",
        "-ctv",
        metavar="TYPE",
        help="Data type of the values in the KV cache: one of those for keys.",
    ),
]
VerboseFlag = Annotated[
    bool, section("Options")("--verbose", "-v", help="Show details and speed on stderr.")
]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model to use, and how to run it."""

    model: ModelFlag = None
    model_draft: Annotated[
        str | None,
        _model(
            *("--model-draft", "-md", "--spec-draft-model"),
            metavar="MODEL",
            help="A small model of the same family, for speculative decoding; auto: "
            "what `lepton draft` found best.",
            autocompletion=complete_model,
        ),
    ] = None
    spec_type: Annotated[
        str,
        _model(
            "--spec-type",
            metavar="TYPE[,TYPE...]",
            help="What guesses tokens for speculative decoding: none, ngram-simple (earlier text), "
            "draft-simple (-md), draft-mtp (the model's own next-token head), or auto.",
        ),
    ] = "auto"
    backend: BackendFlag = None
    gpu_layers: GpuLayersFlag = "auto"
    threads: ThreadsFlag = -1
    ctx_size: ContextFlag = 0
    cache_type_k: CacheTypeKFlag = "f16"
    cache_type_v: CacheTypeVFlag = "f16"
    audit: Annotated[
        str | None,
        section("Options")(
            "--audit",
            metavar="FILE",
            help="Append each prompt, its answer and the settings to FILE.",
        ),
    ] = None
    ubatch_size: Annotated[
        int, _model("--ubatch-size", "-ub", metavar="N", min=1, help="Prompt tokens per pass.")
    ] = 256
    prefix_cache: Annotated[
        float,
        _model(
            "--prefix-cache",
            metavar="GB",
            min=0,
            help="Disk space for the prompt cache, in GB; 0: no cache.",
        ),
    ] = 2.0
    weight_cache: WeightCacheFlag = 8.0
    ctx_checkpoints: Annotated[
        int,
        _model(
            "--ctx-checkpoints",
            "-ctxcp",
            "--swa-checkpoints",
            metavar="N",
            min=0,
            help="Checkpoints kept for a hybrid model's /undo and /retry, if memory allows.",
        ),
    ] = 32
    lora: LoraFlag = None
    lora_scaled: LoraScaledFlag = None
    control_vector: ControlVectorFlag = None
    control_vector_scaled: ControlVectorScaledFlag = None
    control_vector_layer_range: ControlVectorLayersFlag = None
    verbose: VerboseFlag = False
