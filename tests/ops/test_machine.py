"""The machine's cores and memory, on faked /proc and /sys trees."""

import sys
from pathlib import Path

import pytest

from ops import machine
from ops.machine import MARGIN, available_memory, cpu_name, default_threads, shared_memory

GIB = 1 << 30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def cores(siblings: list[str], names: str = "core_cpus_list") -> dict[str, str]:
    """The topology of CPUs 0, 1, ... by the list of CPUs that each one's core has."""
    last = len(siblings) - 1
    return {"sys/devices/system/cpu/online": f"0-{last}" if last else "0"} | {
        f"sys/devices/system/cpu/cpu{cpu}/topology/{names}": text
        for cpu, text in enumerate(siblings)
    }


@pytest.mark.parametrize("names", ["core_cpus_list", "thread_siblings_list"])
def test_smt_siblings_count_once(tmp_path, names):
    write(tmp_path, cores(["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"], names))
    choice = default_threads(tmp_path, range(8))
    assert (choice.count, choice.reason) == (4, "4 physical cores")


def test_affinity_limits_the_threads_and_is_told(tmp_path):
    write(tmp_path, cores(["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"]))
    choice = default_threads(tmp_path, {0, 4, 5})
    assert choice.count == 2
    assert "3 of 8 CPUs that the affinity mask allows" in choice.reason


def test_without_topology_every_cpu_counts(tmp_path):
    choice = default_threads(tmp_path, range(6))
    assert choice.count == 6
    assert "does not report its cores" in choice.reason


def test_one_core_is_one_thread(tmp_path):
    assert default_threads(write(tmp_path, cores(["0"])), {0}).reason == "1 physical core"


@pytest.mark.parametrize(
    ("fast", "slow", "expected"),
    [
        (8, 0, 8),
        (6, 4, 6),  # ten at the pace of an E-core do less than six P-cores
        (8, 12, 8),
        (4, 16, 20),  # twenty E-cores' worth is more than four P-cores
    ],
)
def test_efficiency_cores_are_used_only_where_they_help(tmp_path, fast, slow, expected):
    count = fast + slow
    write(tmp_path, cores([str(cpu) for cpu in range(count)]))
    if slow:
        write(tmp_path, {"sys/devices/cpu_atom/cpus": f"{fast}-{count - 1}"})
    choice = default_threads(tmp_path, range(count))
    assert choice.count == expected
    assert ("fast enough" in choice.reason) == (expected < count)


def test_arm_cores_are_weighed_by_their_capacity(tmp_path):
    write(tmp_path, cores([str(cpu) for cpu in range(8)]))
    for cpu, capacity in enumerate([400] * 4 + [900] * 3 + [1024]):
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        write(tmp_path, {f"{folder}/cpu_capacity": str(capacity)})
    assert default_threads(tmp_path, range(8)).count == 4


QUOTAS = {
    "v2": (
        {"proc/self/cgroup": "0::/box/app", "sys/fs/cgroup/box/app/cpu.max": "250000 100000"},
        2,
    ),
    "v2 parent": (
        {
            "proc/self/cgroup": "0::/box/app",
            "sys/fs/cgroup/box/app/cpu.max": "max 100000",
            "sys/fs/cgroup/box/cpu.max": "300000 100000",
        },
        3,
    ),
    "v2 in a container": (
        {"proc/self/cgroup": "0::/../../host/path", "sys/fs/cgroup/cpu.max": "100000 100000"},
        1,
    ),
    "v2 less than one": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "5000 100000"}, 1),
    "v2 none": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
    "v1": (
        {
            "proc/self/cgroup": "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/",
            "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "350000",
            "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
        },
        3,
    ),
    "v1 in a container": (
        {
            "proc/self/cgroup": "4:cpuacct,cpu:/docker/1",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        2,
    ),
    "v1 none": (
        {
            "proc/self/cgroup": "4:cpu:/",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        8,
    ),
    "hybrid": ({"proc/self/cgroup": "4:cpu:/\n0::/", "sys/fs/cgroup/unified/cpu.max": "2 1"}, 2),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_cgroup_quota_is_rounded_down_and_at_least_one(tmp_path, name):
    files, expected = QUOTAS[name]
    write(tmp_path, cores([str(cpu) for cpu in range(8)]) | files)
    choice = default_threads(tmp_path, range(8))
    assert choice.count == expected
    assert ("cgroup quota allows" in choice.reason) == (expected < 8)


def test_a_quota_is_told_as_it_was_given(tmp_path):
    files, _ = QUOTAS["v2"]
    write(tmp_path, cores([str(cpu) for cpu in range(8)]) | files)
    reason = default_threads(tmp_path, range(8)).reason
    assert reason == "8 physical cores; the cgroup quota allows 2.5"


MEMINFO = {"proc/meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB"}


def test_memory_is_what_the_system_can_free(tmp_path):
    limit = available_memory(write(tmp_path, MEMINFO))
    assert limit.bytes == 16 * GIB
    assert "reclaimed" in limit.reason


@pytest.mark.parametrize(
    "files",
    [
        {
            "proc/self/cgroup": "0::/app",
            "sys/fs/cgroup/app/memory.max": str(4 * GIB),
            "sys/fs/cgroup/app/memory.current": str(3 * GIB),
            "sys/fs/cgroup/app/memory.stat": f"anon 1\nactive_file {GIB}\ninactive_file {GIB}",
        },
        {
            "proc/self/cgroup": "7:memory:/docker/1",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 * GIB),
            "sys/fs/cgroup/memory/memory.usage_in_bytes": str(3 * GIB),
            "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {2 * GIB}\nactive_file 7",
        },
    ],
    ids=["v2", "v1"],
)
def test_cgroup_memory_counts_cached_files_as_free(tmp_path, files):
    limit = available_memory(write(tmp_path, MEMINFO | files))
    assert limit.bytes == 3 * GIB
    assert "cgroup" in limit.reason


@pytest.mark.parametrize(
    ("group", "limit", "used", "prefix", "mapped"),
    [
        ("0::/app", "memory.max", "memory.current", "", "file_mapped"),
        (
            "7:memory:/app",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_",
            "total_mapped_file",
        ),
    ],
    ids=["v2", "v1"],
)
def test_cached_files_that_are_mapped_are_in_use(tmp_path, group, limit, used, prefix, mapped):
    folder = "sys/fs/cgroup/memory/app" if "memory" in group else "sys/fs/cgroup/app"
    stat = f"{prefix}active_file {GIB}\n{prefix}inactive_file {GIB}\n{mapped} {GIB // 2}"
    files = {
        "proc/self/cgroup": group,
        f"{folder}/{limit}": str(4 * GIB),
        f"{folder}/{used}": str(3 * GIB),
        f"{folder}/memory.stat": stat,
    }
    assert available_memory(write(tmp_path, MEMINFO | files)).bytes == 5 * GIB // 2


def test_an_unlimited_cgroup_does_not_bind(tmp_path):
    files = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max"}
    assert available_memory(write(tmp_path, MEMINFO | files)).bytes == 16 * GIB


def test_memory_and_threads_of_this_machine_are_plausible():
    assert available_memory().bytes > 1 << 26
    assert default_threads().count >= 1


def test_a_system_without_proc_still_tells_its_memory(tmp_path):
    assert available_memory(tmp_path).bytes > 1 << 26


def test_the_processor_names_itself(tmp_path):
    write(tmp_path, {"proc/cpuinfo": "processor : 0\nmodel name\t: Imaginary 9000 @ 3 GHz"})
    assert cpu_name(tmp_path) == "Imaginary 9000 @ 3 GHz"


def test_a_board_names_a_processor_without_a_name(tmp_path):
    write(tmp_path, {"proc/cpuinfo": "processor : 0"})
    write(tmp_path, {"sys/firmware/devicetree/base/model": "Some Pi 5\0"})
    assert cpu_name(tmp_path) == "Some Pi 5"


def arm_cpuinfo(*cores: tuple[int, int]) -> str:
    return "\n\n".join(
        f"processor\t: {n}\nCPU implementer\t: 0x{maker:02x}\nCPU architecture: 8\n"
        f"CPU variant\t: 0x3\nCPU part\t: 0x{part:03x}\nCPU revision\t: 1"
        for n, (maker, part) in enumerate(cores)
    )


@pytest.mark.parametrize(
    ("cores", "board", "name"),
    [
        ([(0x41, 0xD0C)] * 4, "", "Arm Neoverse N1"),
        ([(0x41, 0xD40)] * 2, "", "Arm Neoverse V1"),
        ([(0x41, 0xD0B)] * 4, "Raspberry Pi 5", "Arm Cortex-A76 (Raspberry Pi 5)"),
        ([(0x41, 0xD05)] * 4 + [(0x41, 0xD0B)] * 4, "", "Arm Cortex-A55 + Arm Cortex-A76"),
        ([(0x61, 0x022)] * 4 + [(0x61, 0x023)] * 4, "", "Apple M1"),
        ([(0x51, 0x001)] * 12, "", "Qualcomm Oryon"),
        ([(0x77, 0x123)], "", "ARM core 0x123 of maker 0x77"),
    ],
)
def test_arm_cores_are_named_by_their_numbers(tmp_path, cores, board, name):
    write(tmp_path, {"proc/cpuinfo": arm_cpuinfo(*cores)})
    if board:
        write(tmp_path, {"sys/firmware/devicetree/base/model": f"{board}\0"})
    assert cpu_name(tmp_path) == name


@pytest.fixture
def mac(monkeypatch):
    """A Mac whose kernel has these values."""

    def imitate(values: dict[str, int | str]) -> None:
        raw = {
            name: value.to_bytes(4, sys.byteorder) if isinstance(value, int) else value.encode()
            for name, value in values.items()
        }
        monkeypatch.setattr(machine, "_sysctl", raw.get)

    return imitate


def test_a_mac_names_its_processor(tmp_path, mac):
    mac({"machdep.cpu.brand_string": "Apple M2\0"})
    assert cpu_name(tmp_path) == "Apple M2"


@pytest.mark.parametrize(
    ("fast", "slow", "count", "reason"),
    [
        (4, 4, 4, "8 physical cores; 4 are fast enough to share work evenly"),  # M2
        (8, 2, 8, "10 physical cores; 8 are fast enough to share work evenly"),  # M1 Pro
        (4, 6, 4, "10 physical cores; 4 are fast enough to share work evenly"),  # M4
    ],
)
def test_a_mac_uses_its_fast_cores(tmp_path, mac, fast, slow, count, reason):
    levels = {"hw.perflevel0.physicalcpu": fast, "hw.perflevel1.physicalcpu": slow}
    mac({"hw.nperflevels": 2, "hw.physicalcpu": fast + slow, **levels})
    choice = default_threads(tmp_path)
    assert (choice.count, choice.reason) == (count, reason)


def test_a_mac_with_cores_of_one_kind_uses_all(tmp_path, mac):
    mac({"hw.physicalcpu": 6, "hw.logicalcpu": 12})
    assert default_threads(tmp_path).reason == "6 physical cores"


def test_an_unnamed_processor_is_named_by_its_architecture(tmp_path):
    assert cpu_name(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("kind", ["AS", "DATA"])
def test_a_limit_of_the_process_counts_where_it_leaves_least(tmp_path, monkeypatch, kind):
    import resource

    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 8000000 kB\n")
    (tmp_path / "proc/self/statm").write_text("1000 9 9 9 0 1000 0\n")
    limited, none = getattr(resource, f"RLIMIT_{kind}"), resource.RLIM_INFINITY
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (500_000_000 if which == limited else none, none)
    )
    found = available_memory(tmp_path)
    assert found.bytes == 500_000_000 - 1000 * resource.getpagesize() - MARGIN
    flag = {"AS": "-v", "DATA": "-d"}[kind]
    assert f"are free (what ulimit {flag} leaves of 500 MB)" in str(found)
    assert shared_memory(tmp_path).bytes == 8000000 * 1024  # a child has addresses of its own
    monkeypatch.setattr(resource, "getrlimit", lambda which: (none, none))
    assert available_memory(tmp_path).bytes == 8000000 * 1024
