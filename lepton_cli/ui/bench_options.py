"""What `lepton bench` is asked for, with llama-bench's flags; lists stay as they are typed."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lepton_cli.ui.options import GPU_LAYERS, section

Backend = Literal["auto", "cpu", "cuda"]
Format = Literal["md", "json", "jsonl", "csv"]

_test = section("Tests")
_output = section("Output")


def _list(*flags: str, text: str) -> Any:
    return _test(*flags, metavar="N,...", help=text)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Several values, by commas or by repeating a flag, give every combination."""

    n_prompt: Annotated[
        list[str] | None, _list("-p", "--n-prompt", text="Tokens of a prompt; 0: none [512].")
    ] = None
    n_gen: Annotated[
        list[str] | None, _list("-n", "--n-gen", text="Tokens of an answer; 0: none [128].")
    ] = None
    prompt_gen: Annotated[
        list[str] | None, _test("-pg", metavar="PP,TG", help="A prompt and its answer together.")
    ] = None
    n_depth: Annotated[
        list[str] | None, _list("-d", "--n-depth", text="Tokens that stand before the test [0].")
    ] = None
    repetitions: Annotated[
        int, _test("-r", "--repetitions", metavar="N", help="How often each test is measured.")
    ] = 5
    no_warmup: Annotated[bool, _test("--no-warmup", help="Without an untimed run before.")] = False
    threads: Annotated[
        list[str] | None, _list("-t", "--threads", text="Threads [the cores that we may use].")
    ] = None
    backend: Annotated[
        Backend, _test("--backend", help="What computes; auto: a GPU where one can be used.")
    ] = "auto"
    gpu_layers: Annotated[
        list[str] | None,
        _test(*GPU_LAYERS, metavar="N,...", help="Layers on the GPU, or auto, or all [auto]."),
    ] = None
    ubatch_size: Annotated[
        list[str] | None, _list("-ub", "--ubatch-size", text="Tokens a pass of the prompt [512].")
    ] = None
    cache_type_k: Annotated[
        list[str] | None,
        _test("-ctk", "--cache-type-k", metavar="T,...", help="Types of the cached keys [f16]."),
    ] = None
    cache_type_v: Annotated[
        list[str] | None,
        _test("-ctv", "--cache-type-v", metavar="T,...", help="Types of the cached values [f16]."),
    ] = None
    output: Annotated[Format, _output("-o", "--output", help="What stdout gets.")] = "md"
    profile: Annotated[bool, _output("--profile", help="And each operator's time and work.")] = (
        False
    )
    plot: Annotated[
        str | None, _output("--plot", metavar="FILE", help="Draw the roofline: FILE.png or .svg.")
    ] = None
