"""The options of `lepton bench`, named like llama-bench's; lists are parsed later."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lepton_cli.ui.arguments.options.groups import section
from lepton_cli.ui.arguments.options.model import GPU_LAYERS

Backend = Literal["auto", "cpu", "cuda"]
Format = Literal["md", "json", "jsonl", "csv"]

_test = section("Tests")
_output = section("Output")


def _list(*flags: str, text: str) -> Any:
    return _test(*flags, metavar="N,...", help=text)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Several values (comma-separated, or a repeated flag) give every combination."""

    n_prompt: Annotated[
        list[str] | None,
        _list("-p", "--n-prompt", text="Test prompts of N tokens; 0: none. [default: 512]"),
    ] = None
    n_gen: Annotated[
        list[str] | None,
        _list("-n", "--n-gen", text="Test answers of N tokens; 0: none. [default: 128]"),
    ] = None
    prompt_gen: Annotated[
        list[str] | None,
        _test(
            "-pg", metavar="PP,TG", help="Test a prompt of PP and an answer of TG tokens together."
        ),
    ] = None
    n_depth: Annotated[
        list[str] | None,
        _list(
            "-d", "--n-depth", text="Tokens already in the context before the test. [default: 0]"
        ),
    ] = None
    repetitions: Annotated[
        int, _test("-r", "--repetitions", metavar="N", help="Measure each test N times.")
    ] = 5
    no_warmup: Annotated[bool, _test("--no-warmup", help="Skip the unmeasured warm-up run.")] = (
        False
    )
    threads: Annotated[
        list[str] | None,
        _list("-t", "--threads", text="Number of threads. [default: one for each physical core]"),
    ] = None
    backend: Annotated[
        Backend, _test("--backend", help="Where to compute; auto: a GPU if one can be used.")
    ] = "auto"
    gpu_layers: Annotated[
        list[str] | None,
        _test(
            *GPU_LAYERS, metavar="N,...", help="Layers on the GPU, or auto, or all. [default: auto]"
        ),
    ] = None
    ubatch_size: Annotated[
        list[str] | None,
        _list("-ub", "--ubatch-size", text="Prompt tokens per pass. [default: 512]"),
    ] = None
    cache_type_k: Annotated[
        list[str] | None,
        _test(
            "-ctk",
            "--cache-type-k",
            metavar="T,...",
            help="Data types of the keys in the KV cache. [default: f16]",
        ),
    ] = None
    cache_type_v: Annotated[
        list[str] | None,
        _test(
            "-ctv",
            "--cache-type-v",
            metavar="T,...",
            help="Data types of the values in the KV cache. [default: f16]",
        ),
    ] = None
    output: Annotated[Format, _output("-o", "--output", help="Format of the results.")] = "md"
    profile: Annotated[
        bool, _output("--profile", help="Also show the time and work of each operator.")
    ] = False
    plot: Annotated[
        str | None, _output("--plot", metavar="FILE", help="Draw the roofline: FILE.png or .svg.")
    ] = None
