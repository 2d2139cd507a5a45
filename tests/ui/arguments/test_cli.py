"""The program as a whole: what it says of itself, how it refuses, and with which exit code."""

import re
import subprocess
import sys
import threading
from typing import get_args

import pytest
import typer

from lepton_cli.__main__ import run
from lepton_cli.engine import model
from lepton_cli.engine.decoding import generation
from lepton_cli.ui.arguments.options import answer as answer_options
from lepton_cli.ui.arguments.options import model as model_options
from lepton_cli.ui.arguments.usage.llamacpp import NEEDLESS, OURS, foreign_in
from lepton_cli.ui.cli import app
from lepton_cli.version import __version__
from ops.state import formats
from quant.errors import (
    ContextOverflowError,
    LeptonError,
    ModelFileError,
    OutOfMemoryError,
    UsageError,
)

HEAVY = {"numpy", "numba", "llvmlite", "rich", "jinja2", "prompt_toolkit", "tokenizers", "gguf"}
COMMANDS = typer.main.get_group(app).commands


def flags(command: str) -> set[str]:
    options = [param for param in COMMANDS[command].params if param.param_type_name == "option"]
    return {flag for option in options for flag in (*option.opts, *option.secondary_opts)}


def failing(error: BaseException):
    def fail(*_: object) -> None:
        raise error

    return fail


def test_each_name_of_the_table_declares_the_command_of_that_name():
    assert [command.name for command in COMMANDS.values()] == [*COMMANDS]


@pytest.fixture
def told(capsys):
    """Runs the program; gives its exit code and the lines on stderr."""

    def tell(*args: str) -> tuple[int, list[str]]:
        code = run(list(args))
        out, err = capsys.readouterr()
        assert not out
        return code, err.splitlines()

    return tell


# --- starting


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["run", "--help"], ["chat", "-h"]])
def test_help_and_version_import_nothing_heavy(args):
    script = (
        "import sys; from lepton_cli.__main__ import run; code = run(sys.argv[1:]); "
        "print('MODULES', *{name.split('.')[0] for name in sys.modules}); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, check=True
    )
    shown, _, modules = done.stdout.rpartition("MODULES")
    assert "lepton" in shown
    assert not HEAVY & set(modules.split())


def test_version_is_one_line_on_stdout(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"lepton {__version__}\n"


def test_no_words_show_the_commands(capsys):
    assert run([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_help_shows_every_flag_of_run_in_sections(capsys):
    assert run(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in flags("run"))
    assert all(f"\n{title}:" in shown for title in ("Model", "Prompt", "Answer", "Sampling"))


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["sessions", "rm"]])
def test_help_fits_a_terminal(capsys, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    assert run([*command, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= width


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("plan", ["MODEL"]),
        ("quantize", ["MODEL", "OUT", "[TYPE]"]),
        ("prune", ["MODEL", "[OUT]"]),
        ("perplexity", ["MODEL", "[FILE]"]),
    ],
)
def test_the_help_lists_the_arguments_before_all_options(capsys, command, arguments):
    assert run([command, "--help"]) == 0
    first = re.findall(r"^  (-|\S+ {2,})", capsys.readouterr().out, re.M)
    assert [row.strip() for row in first[: first.index("-")]] == arguments


def test_the_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "lepton_cli", "--version"], capture_output=True, check=True
    )
    assert done.stdout == f"lepton {__version__}\n".encode()


# --- refusing


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["run", "--tmep", "0"], "unknown option --tmep", "--temp"),
        (["run", "-tmep", "0"], "unknown option -tmep", "--temp"),
        (["run", "--temprature=1"], "unknown option --temprature", "--temp"),
        (["run", "--max-tokens", "5"], "unknown option --max-tokens", "-n"),
        (["run", "-sysx", "y"], "unknown option -sysx", "-sys"),
        (["run", "--qqqq"], "unknown option --qqqq", "lepton run --help"),
        (["chat", "--no-colour"], "unknown option --no-colour", "did you mean --no-color?"),
        (["run", "--quiet"], "unknown option --quiet", "leave it out"),
        (["run", "--raw=1"], "--raw takes no value, but got '1'", "type only --raw"),
        (["run", "-hf", "a/b", "hi"], "hf:a/b is an address", "lepton pull a/b"),
        (["chat", "-hf", "hf:a/b:q8_0"], "hf:a/b:q8_0 is an address", "lepton pull a/b:q8_0"),
        (["run", "-hf", "a/b:Q8", "-hff", "x.gguf"], "hf:a/b/x.gguf", "lepton pull a/b/x.gguf"),
        (["run", "--hf-file=x.gguf", "hi"], "-hff x.gguf names no repository", "-hf USER/REPO"),
        (["run", "-hf", "a/b", "-mu", "http://x/y.gguf"], "together with -hf", "one of them"),
        (["run", "-hf", "a/b", "-m", "c", "hi"], "named by -m and by -hf", "one of them"),
        (["batch", "-mu", "http://x/y.gguf", "-"], "y.gguf is an address", "pull http://x/y.gguf"),
        (["run", "-hf"], "-hf needs a value after it", "-hf"),
        (["run", "-hft", "secret", "hi"], "-hft is an option of llama.cpp", "set HF_TOKEN"),
        (["run", "-cnv"], "-cnv is an option of llama.cpp", "lepton chat"),
        (["chat", "-no-cnv"], "-no-cnv is an option of llama.cpp", "lepton run --raw"),
        (["run", "m", "-n", "many"], "-n, --predict takes a whole number, not 'many'", "-n 1"),
        (["run", "m", "-n"], "-n needs a value after it", "-n 1"),
        (["run", "m", "-sys"], "-sys needs a value after it", "-sys TEXT"),
        (["run", "m", "-t", "9999"], "a whole number from -1 to 1024, not 9999", "-t 1"),
        (["run", "m", "--prefix-cache", "x"], "takes a number, 0 or more", "--prefix-cache 2"),
        (["run", "m", "--backend", "gpu"], "auto, cpu, cuda or reference", "--backend auto"),
        (["cache", "empty"], "lepton cache takes ls or clear, not 'empty'", "lepton cache ls"),
        (["models", "x"], "lepton models does not take the word x", "without it: lepton models"),
        (["run", "a.gguf", "too", "many"], "several words: put it in quotes", "a.gguf 'too many'"),
        (["run", "-m", "m", "two", "words"], "several words", "lepton run 'two words' -m m"),
        (["run", "-m", "m", "--", "-x", "y"], "several words", "lepton run -m m -- '-x y'"),
        (["batch", "a.gguf", "x", "y"], "several input files", "cat x y | lepton batch a.gguf -"),
        (["run", "hi", "a.gguf"], "the model comes first", "lepton run a.gguf hi"),
        (["run", "hi"], "no model is called hi", "lepton run builtin hi"),
        (["run", "hello there"], "no model given", "lepton run builtin 'hello there'"),
        (["chat", "hello there"], "no model given", "lepton chat builtin 'hello there'"),
        (["run"], "no model given", "lepton run builtin hello; `lepton models`"),
        (["inspect"], "no model given", "lepton inspect builtin"),
        (["bench", "-m", "a", "b"], "the models a and b are both given", "give one of them"),
        (["rnu"], "rnu is not a command", "lepton run"),
        (["sessions", "lst"], "lst is not a command of lepton sessions", "lepton sessions list"),
        (["sessions", "qqq"], "qqq is not a command of", "lepton sessions --help"),
        (["sessions", "--qqq"], "No such option: --qqq", "lepton sessions --help"),
        (["sessions", "show"], "lepton sessions show needs NAME", "lepton sessions show NAME"),
        (["sessions", "show", "a", "b"], "does not take the word b", "lepton sessions show a"),
        (["sessions", "rm", "--ys"], "unknown option --ys", "lepton sessions rm --help"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(told, args, message, hint):
    code, lines = told(*args)
    assert code == 2
    assert lines[0].startswith("lepton: error: ")
    assert message in lines[0]
    assert len(lines) <= 2
    if hint is not None:
        assert lines[1].startswith("lepton: hint: ")
        assert hint in lines[1]


REFUSED = {
    flag: command
    for command in ("perplexity", "imatrix", "quantize", "split", "merge", "convert", "run")
    for flag, told in foreign_in(command).items()
    if told.verdict == "refused"
}


@pytest.mark.parametrize("flag", REFUSED)
def test_what_llama_cpp_has_and_we_lack_is_named(told, flag):
    code, lines = told(REFUSED[flag], "model.gguf", flag, "x")
    assert code == 2
    assert flag in lines[0]
    assert "llama.cpp" in lines[0]
    assert lines[1].startswith("lepton: hint: ")


@pytest.mark.parametrize("command", ["run", "chat"])
def test_no_flag_of_ours_is_in_the_table_of_strange_ones(command):
    assert not flags(command) & set(foreign_in(command))
    assert not flags(command) & {*OURS, *NEEDLESS}
    assert not {*foreign_in(command)} & {*OURS, *NEEDLESS}


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["quantize", "m.gguf", "-o", "q.gguf", "Q4_0"], "given without a flag, as OUT"),
        (["quantize", "m.gguf", "q.gguf", "Q4_0", "--nthreads", "2"], "Lepton's option is -t"),
        (["convert", "folder", "--outfile", "m.gguf"], "given without a flag, as OUT"),
        (["convert", "folder", "m.gguf", "--outtype", "f16"], "Lepton's option is --type"),
        (["perplexity", "m.gguf", "t.txt", "--hellaswag"], "--choices FILE"),
        (["perplexity", "m.gguf", "t.txt", "--kl-divergence"], "lepton compare A B text.txt"),
        (["split", "--merge", "m.gguf", "q.gguf"], "lepton merge FIRST-PART OUT"),
    ],
)
def test_a_flag_of_llama_cpps_program_for_the_same_has_its_own_hint(told, args, hint):
    code, lines = told(*args)
    assert code == 2 and hint in lines[-1]


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (
            ["merge", "a-1.gguf", "a-2.gguf", "a-3.gguf", "w.gguf"],
            "type: lepton merge a-1.gguf w.gguf",
        ),
        (["merge", "a-1.gguf", "w.gguf", "x"], "without it: lepton merge a-1.gguf w.gguf"),
        (["prune", "m.gguf", "p.gguf", "t.txt"], "by -f: lepton prune m.gguf p.gguf -f t.txt"),
        (["quantize", "m.gguf", "t.txt", "--target-size", "1M", "t.txt"], "by -f: -f t.txt"),
        (["prune", "m.gguf", "--channels", "25%"], "for example: --channels 0.5"),
        (["plan", "builtin", "-c", "8k"], "for example: -c 128,512"),
    ],
)
def test_a_word_in_another_place_is_answered_with_its_own(told, tmp_path, monkeypatch, args, hint):
    monkeypatch.chdir(tmp_path)
    for name in ("a-2.gguf", "t.txt"):
        (tmp_path / name).write_text("a text")
    code, lines = told(*args)
    assert code == 2 and lines[-1].endswith(hint)


def test_what_split_and_merge_do_anyway_may_be_asked_of_them(told):
    for command in ("split", "merge"):
        assert "none.gguf: no such file" in told(command, f"--{command}", "none.gguf", "o")[1][0]


def test_flags_that_change_nothing_are_passed_over(told):
    given = [
        (flag, foreign)
        for flag, foreign in foreign_in("run").items()
        if foreign.verdict != "refused"
    ]
    words = [word for flag, foreign in given for word in (flag, *["1"] * foreign.values)]
    code, lines = told("run", *words, "-fa", "on", "-co", "-m", "none.gguf", "hello")
    assert code == 2
    assert "none.gguf: no such file" in lines[-2]
    notes = [line for line in lines if line.startswith("lepton: note: ")]
    assert len(notes) == sum(foreign.verdict == "ignored" for _, foreign in given) + 1


# --- failing


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LeptonError("it broke", "mend it"), 1),
        (UsageError("it broke", "mend it"), 2),
        (ModelFileError("it broke", "mend it"), 3),
        (ContextOverflowError("it broke", "mend it"), 4),
        (OutOfMemoryError("it broke", "mend it"), 5),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(monkeypatch, told, error, code):
    monkeypatch.setattr("lepton_cli.ui.commands.doctor.show", failing(error))
    assert told("doctor") == (code, ["lepton: error: it broke", "lepton: hint: mend it"])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 5, "not enough memory"),
        (OSError(28, "No space left on device", "x.bin"), 1, "x.bin: No space left on device"),
        (KeyboardInterrupt(), 130, None),
        (BrokenPipeError(), 141, None),
    ],
)
def test_what_the_system_does_to_us_is_reported_or_quiet(monkeypatch, told, error, code, words):
    monkeypatch.setattr("lepton_cli.ui.commands.doctor.show", failing(error))
    got, lines = told("doctor")
    assert got == code
    assert (words in lines[0]) if words else not lines


def test_messages_are_one_line_that_steers_no_terminal(monkeypatch, told):
    error = ModelFileError("bad\nname \x1b[31m\x9b2J", "a\thint\x07")
    monkeypatch.setattr("lepton_cli.ui.commands.doctor.show", failing(error))
    code, lines = told("doctor")
    assert (code, len(lines)) == (3, 2)
    assert not {"\x1b", "\x9b", "\x07"} & set("".join(lines))


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("LEPTON_DEBUG", "1")
    monkeypatch.setattr("lepton_cli.ui.commands.doctor.show", failing(LeptonError("it broke")))
    with pytest.raises(LeptonError):
        run(["doctor"])


@pytest.fixture
def state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "lepton"


def test_a_fault_of_our_own_is_one_line_that_names_the_file_with_its_traceback(
    monkeypatch, told, state
):
    monkeypatch.setattr(
        "lepton_cli.ui.commands.doctor.show", failing(ZeroDivisionError("by\nnought"))
    )
    code, lines = told("doctor")
    (path,) = (state / "faults").iterdir()
    assert code == 1
    assert lines[0] == "lepton: error: a fault in Lepton: ZeroDivisionError: by nought"
    assert str(path) in lines[1]
    assert "raise error\nZeroDivisionError: by\nnought" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_fault_is_reported_where_no_file_can_be_written(monkeypatch, told, state):
    state.write_text("")
    monkeypatch.setattr("lepton_cli.ui.commands.doctor.show", failing(ZeroDivisionError()))
    code, (error, hint) = told("doctor")
    assert code == 1
    assert "ZeroDivisionError" in error
    assert "LEPTON_DEBUG=1" in hint


def test_the_latest_faults_are_kept(monkeypatch, told, state):
    monkeypatch.setattr("lepton_cli.ui.commands.doctor.show", failing(ZeroDivisionError()))
    monkeypatch.setattr("lepton_cli.faults.MAX_FILES", 2)
    names = []
    for _ in range(4):
        told("doctor")
        names.append(max(path.name for path in (state / "faults").iterdir()))
    assert sorted(path.name for path in (state / "faults").iterdir()) == names[-2:]


def test_a_fault_in_another_thread_ends_the_command_too(monkeypatch, told, state):
    def waits_for_a_thread(*_):
        threading.Timer(0.05, failing(ZeroDivisionError("in a thread"))).start()
        threading.Event().wait(60)

    monkeypatch.setattr("lepton_cli.ui.commands.doctor.show", waits_for_a_thread)
    code, lines = told("doctor")
    assert code == 1
    assert lines[0] == "lepton: error: a fault in Lepton: ZeroDivisionError: in a thread"
    assert len(list((state / "faults").iterdir())) == 1


# --- agreeing with the engine, which the options must not import


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        (model_options.Backend, model.Backend),
        (answer_options.Overflow, generation.Overflow),
        (model_options.KVType, formats.CacheType),
    ],
)
def test_choices_are_the_engines(option, setting):
    assert get_args(option) == get_args(setting)


# --- completing


def test_shells_get_completions_without_a_model():
    environ = {"_LEPTON_COMPLETE": "complete_bash", "COMP_WORDS": "lepton ins", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "lepton_cli"], capture_output=True, text=True, env=environ
    )
    assert done.stdout.split() == ["inspect"]
