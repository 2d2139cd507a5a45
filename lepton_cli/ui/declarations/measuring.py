"""The commands that measure models: bench, perplexity, compare, imatrix, draft."""

import typer

from lepton_cli.ui.arguments.options.bench import BenchOptions
from lepton_cli.ui.arguments.options.groups import JsonFlag
from lepton_cli.ui.arguments.options.measuring import (
    ComparisonArguments,
    DraftingOptions,
    DraftOutputOptions,
    DraftTextOptions,
    ImatrixOptions,
    MeasuredModelOptions,
    PerplexityOutputOptions,
    RunningOptions,
    ScoringOptions,
    TextFileArguments,
    WindowOptions,
)
from lepton_cli.ui.arguments.words import is_on_command_line, model_and_text, only_model
from lepton_cli.ui.declarations.declaring import (
    NO_CONFIG_EPILOG,
    ModelFile,
    ModelName,
    command,
)


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


@command("perplexity", epilog=NO_CONFIG_EPILOG)
def perplexity(
    context: typer.Context,
    words: TextFileArguments,
    model: MeasuredModelOptions,
    text: WindowOptions,
    scoring: ScoringOptions,
    output: PerplexityOutputOptions,
) -> None:
    """Measure how well a model predicts a text, as llama-perplexity does.

    The text is cut into windows of -c tokens. Of each the second half is scored, the first
    is its context. The result is e to the mean loss of the scored tokens: less is better.
    """
    name, file = model_and_text(context, words, model.model)
    if scoring.choices is not None:
        from lepton_cli.ui.commands.measuring.choices import ChoicesRequest, show_choices

        given = file if text.file is None else text.file
        show_choices(ChoicesRequest(name, scoring.choices, given, model, output))
        return
    from lepton_cli.ui.commands.measuring.perplexity import PerplexityRequest, show_perplexity

    show_perplexity(PerplexityRequest(name, file, model, text, scoring, output))


@command("compare", epilog=NO_CONFIG_EPILOG)
def compare(
    words: ComparisonArguments,
    running: RunningOptions,
    text: WindowOptions,
    json: JsonFlag = False,
) -> None:
    """Measure how far one model is from another on a text: quality, speed and size.

    Both models read the text together, window by window, so that no logits are kept. The
    figures are those of llama-perplexity --kl-divergence; the vocabularies have to be equal.
    """
    from lepton_cli.ui.commands.measuring.compare import ComparisonRequest, show_comparison

    show_comparison(ComparisonRequest(words, running, text, json))


@command("imatrix", epilog=NO_CONFIG_EPILOG)
def imatrix(
    context: typer.Context,
    words: TextFileArguments,
    model: MeasuredModelOptions,
    text: WindowOptions,
    matrix: ImatrixOptions,
) -> None:
    """Collect an importance matrix: which columns of its weights a model uses on a text.

    Quantizing with it (lepton quantize --imatrix) loses less. The file is llama-imatrix's; the
    same command again continues a run that was stopped. --in-file merges matrices.
    """
    from lepton_cli.ui.commands.measuring.imatrix import (
        ImatrixRequest,
        collect_importance,
        merge_matrices,
        show_statistics,
    )

    if matrix.show_statistics:
        show_statistics(matrix.in_file or [])
    elif matrix.in_file and not (words.first or text.file or is_on_command_line(context, "model")):
        merge_matrices(matrix)
    else:
        name, file = model_and_text(context, words, model.model)
        collect_importance(ImatrixRequest(name, file, model, text, matrix))


@command("draft", epilog=NO_CONFIG_EPILOG)
def draft(
    context: typer.Context,
    words: TextFileArguments,
    model: MeasuredModelOptions,
    text: DraftTextOptions,
    what: DraftingOptions,
    output: DraftOutputOptions,
    json: JsonFlag = False,
) -> None:
    """Measure which draft makes a model answer fastest on a text; -md auto then uses it.

    Prompts, the first halves of the text's windows (-c), are answered without and with guesses,
    in turns. Tried are lookup in earlier text, the model's own next-token head, smaller models
    of the same vocabulary on this disk, and the model itself without its least influential
    layers.
    """
    from lepton_cli.ui.commands.measuring import draft as view

    if output.list:
        view.show_pairs(json=json)
        return
    name, file = model_and_text(context, words, model.model)
    if output.forget:
        view.forget_pair(name)
    else:
        view.show_draft(view.DraftRequest(name, file, model, text, what, json=json))
