"""The commands that measure a model: bench."""

import typer

from lepton_cli.ui.arguments.options.bench import BenchOptions
from lepton_cli.ui.arguments.words import only_model
from lepton_cli.ui.declarations.declaring import ModelFile, ModelName, command


@command("bench", epilog="Several values give several tests: -p 128,512 -d 0,4096")
def bench(
    context: typer.Context,
    options: BenchOptions,
    file: ModelFile = None,
    model: ModelName = None,
) -> None:
    """Measure speed like llama-bench, compared with the limits of the machine."""
    name = only_model(context, file, model)
    from lepton_cli.ui.commands.bench import run_benchmark

    run_benchmark(name, options)
