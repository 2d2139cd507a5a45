"""The store of compiled kernels: what is found, what is compiled, what is thrown away."""

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from passes import kernel_folder

from ops.compiled import kernel_folder as all_shelves
from ops.compiled.kernel_folder import Compiling, KernelFolder, pack
from ops.cpu import compiling, kernel_folders
from ops.cpu.compiling import compile_kernels
from ops.cpu.objects import ObjectStore, symbol_address, undefined_symbols
from ops.cpu.processor import host_features
from ops.cpu.rungs import X86, choose_rung, ladder
from quant.errors import LeptonError, UsageError

ROOT = Path(__file__).parents[2]
SMALL, SECOND = "scale", "select_outputs"  # kernels that compile quickly
DAY = all_shelves.DAY

linux = pytest.mark.skipif(sys.platform != "linux", reason="objects are kept on Linux only")
pytestmark = linux


@pytest.fixture(scope="module")
def kernels() -> dict[str, bytes]:
    """The two, packed as the compiler gives them."""
    ObjectStore(kernel_folder(), lambda compiling: None).prepare([SMALL, SECOND])
    found = {name: cached(kernel_folder()).read(name) for name in (SMALL, SECOND)}
    return {name: pack(*kernel) for name, kernel in found.items() if kernel}


@pytest.fixture
def compiled_before(kernels, monkeypatch) -> None:
    """The compiler returns kernels made before: a test of the store need not start its process."""
    monkeypatch.setattr(
        compiling,
        "compile_kernels",
        lambda names, rung, processes: ((n, kernels[n]) for n in names),
    )


def heard(folder: Path | None, *names: str) -> list[Compiling]:
    """What a new store tells of compiling while it makes these kernels ready."""
    told: list[Compiling] = []
    store = ObjectStore(folder, told.append)
    store.prepare(names)
    assert all(store.address(name) for name in names)
    return told


def kernels_told(folder: Path | None, *names: str) -> list[str]:
    return sorted(compiling.kernel for compiling in heard(folder, *names) if compiling.kernel)


def cached(folder: Path) -> KernelFolder:
    return kernel_folders.cached_kernels(folder, choose_rung(host_features(), os.environ))


@pytest.fixture
def folder(tmp_path, compiled_before) -> Path:
    """A cache folder of this test's own that holds one kernel."""
    shelf = cached(kernel_folder()).folder
    (tmp_path / shelf.name).mkdir(0o700)
    shutil.copy(shelf / f"{SMALL}.kernel", tmp_path / shelf.name)
    return tmp_path


# --- found, or compiled


def test_missing_kernels_are_compiled_and_counted(tmp_path):
    told = heard(tmp_path, SMALL, SECOND, SMALL)
    assert [(compiling.done, compiling.total) for compiling in told] == [(0, 2), (1, 2), (2, 2)]
    assert {compiling.kernel for compiling in told} == {"", SMALL, SECOND}
    assert not [compiling for compiling in told if compiling.lost]
    assert heard(tmp_path, SMALL, SECOND) == []


def test_an_address_can_be_asked_for_without_preparing(tmp_path, compiled_before):
    told: list[Compiling] = []
    store = ObjectStore(tmp_path, told.append)
    assert store.address(SMALL) == store.address(SMALL)
    assert len(told) == 2


def test_only_what_is_missing_is_compiled(folder):
    assert kernels_told(folder, SMALL, SECOND) == [SECOND]


DAMAGES = ["flipped", "empty", "short", "a seal alone", "endless", "a pipe", "a socket"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kernel_is_compiled_again(folder, monkeypatch, damage):
    [path] = folder.glob(f"*/{SMALL}.kernel")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[100] ^= 255
    short = {"flipped": bytes(flipped), "empty": b"", "short": b"short"}
    short["a seal alone"] = cached(folder).with_checksum(SMALL, b"")
    path.unlink()
    match damage:
        case "endless":
            path.symlink_to("/dev/zero")
        case "a pipe":
            os.mkfifo(path, 0o600)
        case "a socket":
            monkeypatch.chdir(path.parent)  # a socket's name is a short one
            with socket.socket(socket.AF_UNIX) as planted:
                planted.bind(path.name)
        case _:
            path.write_bytes(short[damage])
    assert kernels_told(folder, SMALL) == [SMALL]
    assert stat.S_ISREG(path.lstat().st_mode) and cached(folder).read(SMALL) is not None
    assert heard(folder, SMALL) == []


def test_a_folder_in_a_kernels_place_is_told(folder):
    [path] = folder.glob(f"*/{SMALL}.kernel")
    path.unlink()
    path.mkdir()
    _, last = heard(folder, SMALL)
    assert last.lost.message == f"kernels cannot be stored in {path}: Is a directory"


def test_a_kernel_under_anothers_name_is_not_loaded(folder):
    [path] = folder.glob(f"*/{SMALL}.kernel")
    other = path.with_stem(SECOND)
    shutil.copy(path, other)
    assert kernels_told(folder, SMALL, SECOND) == [SECOND]
    assert other.read_bytes() != path.read_bytes()


def test_a_kernel_of_another_folder_is_not_loaded(folder):
    [path] = folder.glob(f"*/{SMALL}.kernel")
    other = KernelFolder(folder / "avx2-0123456789abcdef")
    assert other.write(SMALL, pack(b"code", "entry")) is None
    assert other.read(SMALL) == (b"code", "entry")
    shutil.copy(other.folder / path.name, path)
    assert kernels_told(folder, SMALL) == [SMALL]
    assert cached(folder).read(SMALL) not in (None, (b"code", "entry"))


# --- whose they are


def test_folders_and_kernels_are_their_owners_alone_whatever_the_umask(tmp_path, compiled_before):
    before = os.umask(0)
    try:
        heard(tmp_path / "lepton/kernels", SMALL)
    finally:
        os.umask(before)
    made = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert [mode for path, mode in made.items() if path.is_dir()] == [0o700] * 3
    assert [mode for path, mode in made.items() if path.is_file()] == [0o600]


@pytest.mark.parametrize("above", [0, 1])
def test_a_folder_that_others_can_write_is_neither_used_nor_filled(folder, above):
    [shelf] = folder.iterdir()
    place = [shelf, folder][above]
    place.chmod(0o777)
    first, last = heard(folder, SMALL, SECOND)[:1] + heard(folder, SMALL)[-1:]
    for told in (first, last):
        assert f"kernels cannot be stored: others can write to {place} " in told.lost.message
        assert told.lost.hint == f"chmod go-w {place}"
    assert (first.total, last.total) == (2, 1)
    assert [path.name for path in shelf.iterdir()] == [f"{SMALL}.kernel"]


def planted(path: Path, how: str) -> None:
    if how == "writable":
        path.chmod(0o606)
    elif os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        pytest.skip("only root can give a file to another user")


@pytest.mark.parametrize("how", ["writable", "another user's"])
def test_a_kernel_that_others_could_have_written_is_told_and_replaced(folder, how):
    [path] = folder.glob(f"*/{SMALL}.kernel")
    planted(path, how)
    first, last = heard(folder, SMALL)
    assert str(path) in first.ignored.message
    assert (first.lost, last.lost, last.kernel) == (None, None, SMALL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == os.geteuid()
    assert heard(folder, SMALL) == []


@pytest.fixture
def package(folder, tmp_path, monkeypatch) -> Path:
    """The folder of kernels of a package that was installed elsewhere; it holds one."""
    monkeypatch.setattr(kernel_folders, "PACKAGED", tmp_path / "package")
    shelf = kernel_folders.packaged_kernels(choose_rung(host_features(), os.environ))
    kernel = cached(folder).read(SMALL)
    assert kernel is not None and shelf.write(SMALL, pack(*kernel)) is None
    return shelf.folder


def test_kernels_of_the_package_come_first(package, tmp_path):
    assert heard(tmp_path / "empty", SMALL) == []


@pytest.mark.parametrize("how", ["writable", "another user's"])
@pytest.mark.parametrize("what", ["the folder", "the kernel"])
def test_kernels_of_the_package_are_believed_as_far_as_its_code(package, tmp_path, how, what):
    place = package if what == "the folder" else package / f"{SMALL}.kernel"
    planted(place, how)
    first, last = heard(tmp_path / "empty", SMALL)
    assert str(place) in first.ignored.message and last.kernel == SMALL
    code = package.parent / "code.py"
    code.touch(0o644)
    assert KernelFolder(package, code).read(SMALL) is None
    planted(code, how)
    assert KernelFolder(package, code).read(SMALL) is not None


@pytest.mark.parametrize("hindrance", ["a file in the way", "a full disk", "no home folder"])
def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path, monkeypatch, compiled_before, hindrance
):
    def full(path: Path, parts: Iterable[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = tmp_path / "cache"
    match hindrance:
        case "a file in the way":
            tmp_path.joinpath("cache").write_text("not a folder")
        case "a full disk":
            monkeypatch.setattr(all_shelves, "write_cached", full)
        case "no home folder":
            cache = Path(os.devnull) / "cache"
    first, last = heard(cache, SMALL)
    assert last.kernel == SMALL and "cannot be stored" in last.lost.message
    assert "XDG_CACHE_HOME" in last.lost.hint
    assert (first.lost is None) == (hindrance == "a full disk")  # found by the write alone
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(SMALL)]


def test_two_processes_may_fill_the_same_folder_at_once(tmp_path):
    script = (
        "import sys; from pathlib import Path; from ops.cpu.objects import ObjectStore; "
        f"ObjectStore(Path(sys.argv[1]), lambda c: None).prepare([{SMALL!r}, {SECOND!r}])"
    )
    run = [sys.executable, "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    both = [subprocess.Popen(run, env=environment) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    [shelf] = tmp_path.iterdir()
    assert sorted(path.name for path in shelf.iterdir()) == [f"{SMALL}.kernel", f"{SECOND}.kernel"]
    assert heard(tmp_path, SMALL, SECOND) == []


# --- compiling


@pytest.fixture
def new_compilers(monkeypatch, tmp_path):
    """None that earlier tests have used: code has numbers that count what was compiled before."""
    monkeypatch.setenv("NUMBA_OF_THIS_TEST", str(tmp_path))


@pytest.mark.usefixtures("new_compilers")
def test_a_failing_compiler_is_told_with_the_kernel(capfd):
    rung = choose_rung(host_features(), {})
    with pytest.raises(LeptonError, match="ended with code 1 while compiling no_such_kernel"):
        list(compile_kernels(["no_such_kernel"], rung, 1))
    assert "KeyError: 'no_such_kernel'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("work", "closes"), [("time.sleep(60)", "stdin"), ("bytes(1 << 20)", "stdout")]
)
def test_a_compiler_whose_parent_is_gone_ends_at_once_and_says_nothing(work, closes):
    script = f"import time; from ops.compiled.worker import serve; serve(lambda name: {work})"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, bufsize=0, **pipes) as compiler:
        compiler.stdin.write(b"scale\n")
        getattr(compiler, closes).close()  # as the system does for a parent that was killed
        assert compiler.wait(30) == 0
        assert compiler.stderr.read() == b""


@pytest.mark.usefixtures("new_compilers")
def test_a_persons_own_settings_of_numba_change_nothing(monkeypatch):
    rung = choose_rung(host_features(), {})
    [(_, before)] = compile_kernels([SMALL], rung, 1)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setenv("NUMBA_OPT", "0")
    assert list(compile_kernels([SMALL], rung, 1)) == [(SMALL, before)]


@pytest.mark.usefixtures("new_compilers")
@pytest.mark.skipif(ladder() is not X86, reason="rungs of x86")
def test_each_rung_has_its_own_code():
    rungs = [rung for rung in X86 if rung.name in ("avx512", "avx2", "generic")]
    codes = [packed for rung in rungs for _, packed in compile_kernels([SMALL], rung, 1)]
    assert len({*codes}) == 3


def test_a_wrong_rung_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("LEPTON_CPU", "mmx")
    with pytest.raises(UsageError, match="mmx"):
        ObjectStore(tmp_path, lambda compiling: None)


def test_symbols_that_nobody_provides_are_named(folder):
    [path] = folder.glob(f"*/{SMALL}.kernel")
    kernel = cached(folder).read(path.stem)
    assert kernel is not None
    assert all(symbol_address(SMALL, symbol) for symbol in undefined_symbols(kernel[0]))
    assert symbol_address(SMALL, "memset") != symbol_address(SMALL, "numba_no_such_function")
    with pytest.raises(AssertionError, match=r"scale calls __extend_nothing, which neither"):
        symbol_address(SMALL, "__extend_nothing")


# --- which folder


def test_rungs_sources_and_compilers_have_folders_of_their_own(tmp_path, monkeypatch):
    def folders() -> set[str]:
        shelf = [kernel_folders.cached_kernels(tmp_path, rung) for rung in X86]
        return {shelf.folder.name for shelf in (*shelf, *map(kernel_folders.packaged_kernels, X86))}

    first = folders()
    assert len(first) == 2 * len(X86)
    monkeypatch.setattr(kernel_folders, "_compiler", lambda: ("0.99", "numba-9.9.dist-info"))
    second = folders()
    assert len(first & second) == len(X86)  # those of the package: its code is made already
    edited = tmp_path / "edited.py"
    edited.write_text("SPINS = 1\n")
    known = kernel_folders.sources()
    monkeypatch.setattr(kernel_folders, "sources", lambda: [*known, edited])
    monkeypatch.setattr(kernel_folders, "code_digest", kernel_folders.code_digest.__wrapped__)
    assert not folders() & (first | second)


# --- tidiness


def aged(root: Path, name: str, days: float, now: float) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "scale.kernel").write_bytes(b"")
    os.utime(folder, (now, now - days * DAY))
    return folder


def test_folders_that_nobody_uses_are_removed(tmp_path):
    now = 1e9
    used = aged(tmp_path, "used", 1.5, now)
    last_month, long_ago = aged(tmp_path, "a", 29, now), aged(tmp_path, "b", 31, now)
    all_shelves.tidy(used, now)
    assert used.exists() and last_month.exists() and not long_ago.exists()
    assert used.stat().st_mtime == now


def test_it_is_tidied_once_a_day(tmp_path):
    now = 1e9
    used, long_ago = aged(tmp_path, "used", 0.9, now), aged(tmp_path, "b", 31, now)
    all_shelves.tidy(used, now)
    assert long_ago.exists() and used.stat().st_mtime == now - 0.9 * DAY


def test_of_many_folders_the_last_ones_and_the_fresh_ones_are_kept(tmp_path):
    now = 1e9
    fresh = [aged(tmp_path, f"fresh{n}", 1 + n / 100, now) for n in range(20)]
    older = [aged(tmp_path, f"older{n}", 3 + n / 100, now) for n in range(20)]
    all_shelves.tidy(tmp_path / "new", now)
    assert all(folder.exists() for folder in fresh)
    assert not any(folder.exists() for folder in older)


def test_a_cache_that_is_not_there_is_no_obstacle(tmp_path):
    all_shelves.tidy(tmp_path / "missing" / "new", 1e9)
    assert not list(tmp_path.iterdir())
