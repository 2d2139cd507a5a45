"""How many threads and how much memory to use, with the reasons that `lepton doctor` prints.

Files are read below `root`, so that tests can imitate the /proc and /sys of any machine. macOS has
no such files; there `sysctl` reads what the kernel knows.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

if sys.platform != "win32":
    import resource

FULL_CAPACITY = 1024  # the fastest core in the Linux kernel's cpu_capacity
MARGIN = 48_000_000  # bytes of address space for thread stacks and loaded kernels
ATOM_CAPACITY = 400  # of an Intel E-core: half the vector width at four fifths the clock

ARM_CORES = {  # by "CPU implementer" and "CPU part" of ARM's /proc/cpuinfo, which holds no names
    (0x41, 0xD03): "Arm Cortex-A53",
    (0x41, 0xD05): "Arm Cortex-A55",
    (0x41, 0xD07): "Arm Cortex-A57",
    (0x41, 0xD08): "Arm Cortex-A72",
    (0x41, 0xD09): "Arm Cortex-A73",
    (0x41, 0xD0A): "Arm Cortex-A75",
    (0x41, 0xD0B): "Arm Cortex-A76",
    (0x41, 0xD0D): "Arm Cortex-A77",
    (0x41, 0xD41): "Arm Cortex-A78",
    (0x41, 0xD46): "Arm Cortex-A510",
    (0x41, 0xD47): "Arm Cortex-A710",
    (0x41, 0xD4D): "Arm Cortex-A715",
    (0x41, 0xD80): "Arm Cortex-A520",
    (0x41, 0xD81): "Arm Cortex-A720",
    (0x41, 0xD87): "Arm Cortex-A725",
    (0x41, 0xD44): "Arm Cortex-X1",
    (0x41, 0xD48): "Arm Cortex-X2",
    (0x41, 0xD4E): "Arm Cortex-X3",
    (0x41, 0xD82): "Arm Cortex-X4",
    (0x41, 0xD85): "Arm Cortex-X925",
    (0x41, 0xD0C): "Arm Neoverse N1",
    (0x41, 0xD49): "Arm Neoverse N2",
    (0x41, 0xD8E): "Arm Neoverse N3",
    (0x41, 0xD40): "Arm Neoverse V1",
    (0x41, 0xD4F): "Arm Neoverse V2",
    (0x41, 0xD84): "Arm Neoverse V3",
    (0x46, 0x001): "Fujitsu A64FX",
    (0x48, 0xD01): "HiSilicon Kunpeng 920",
    (0x51, 0x001): "Qualcomm Oryon",
    (0x61, 0x022): "Apple M1",
    (0x61, 0x023): "Apple M1",
    (0x61, 0x024): "Apple M1 Pro",
    (0x61, 0x025): "Apple M1 Pro",
    (0x61, 0x028): "Apple M1 Max",
    (0x61, 0x029): "Apple M1 Max",
    (0x61, 0x032): "Apple M2",
    (0x61, 0x033): "Apple M2",
    (0x61, 0x034): "Apple M2 Pro",
    (0x61, 0x035): "Apple M2 Pro",
    (0x61, 0x038): "Apple M2 Max",
    (0x61, 0x039): "Apple M2 Max",
    (0x6D, 0xD49): "Microsoft Cobalt 100",
    (0xC0, 0xAC3): "AmpereOne",
    (0xC0, 0xAC4): "AmpereOne",
}


@dataclass(frozen=True, slots=True)
class ThreadChoice:
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    bytes: int
    reason: str

    def __str__(self) -> str:
        small = self.bytes < 1e9
        size = f"{self.bytes / 1e6:.1f} MB" if small else f"{self.bytes / 1e9:.2f} GB"
        return f"{size} are free ({self.reason})"


def default_threads(root: Path = Path("/"), allowed: Collection[int] | None = None) -> ThreadChoice:
    """One thread per physical core within the affinity mask and the cgroup quota, at least one.

    Slow cores are left out if they would hold up the fast ones. `allowed` (CPU numbers) replaces
    the affinity mask. Where the system does not report cores (Windows), every CPU counts.
    """
    cpus = _affinity() if allowed is None else frozenset(allowed)
    cores = (_mac_cores() if allowed is None else {}) or _core_capacities(root, cpus)
    fast = _even_share(list(cores.values()))
    quota = _cpu_quota(root)
    count = fast if quota is None else max(1, min(fast, int(quota)))
    reasons = [_core_reason(root, cpus, cores)]
    if fast < len(cores):
        reasons.append(f"{fast} are fast enough to share work evenly")
    if quota is not None and quota < fast:
        reasons.append(f"the cgroup quota allows {quota:g}")
    return ThreadChoice(count, "; ".join(reasons))


def available_memory(root: Path = Path("/")) -> MemoryLimit:
    """What can be allocated now without swapping: the least that system and limits leave."""
    return least(shared_memory(root), *_process_memory(root))


def shared_memory(root: Path = Path("/")) -> MemoryLimit:
    """What this process and its children can allocate together."""
    return least(*([*_free_memory(root), *_cgroup_memory(root)] or [_system_memory()]))


def least(*limits: MemoryLimit) -> MemoryLimit:
    return min(limits, key=lambda limit: limit.bytes)


def address_limit() -> int | None:
    """The limit of this process's address space in bytes, or None."""
    if sys.platform == "win32":
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def cpu_name(root: Path = Path("/")) -> str:
    """The processor's model name, or the architecture if it is unknown."""
    text = _read(root / "proc/cpuinfo")
    device = _read(root / "sys/firmware/devicetree/base/model").rstrip("\0")
    named = dict(_fields(text)).get("model name") or sysctl_text("machdep.cpu.brand_string")
    if not named and (cores := _arm_cores(text)):
        named = f"{cores} ({device})" if device else cores
    return named or device or platform.processor() or platform.machine()


def sysctl_text(name: str) -> str:
    """A value of macOS's kernel; empty on other systems, and if there is none of that name."""
    return (_sysctl(name) or b"").rstrip(b"\0").decode(errors="replace")


def sysctl_number(name: str) -> int:
    """As `sysctl_text`; 0 if there is none."""
    return int.from_bytes(_sysctl(name) or b"", sys.byteorder)


def _sysctl(name: str) -> bytes | None:
    if sys.platform != "darwin":
        return None
    read = ctypes.CDLL(None).sysctlbyname
    size, key = ctypes.c_size_t(), name.encode()
    if read(key, None, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return None
    value = ctypes.create_string_buffer(size.value)
    read(key, value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return value.raw[: size.value]


def _arm_cores(cpuinfo: str) -> str:
    """The kinds of cores, as "Arm Cortex-A55 + Arm Cortex-A76"; empty for other processors."""
    names, maker = [], 0
    for field, value in _fields(cpuinfo):
        if field == "CPU implementer":
            maker = int(value, 0)
        elif field == "CPU part":
            part = int(value, 0)
            unknown = f"ARM core 0x{part:03x} of maker 0x{maker:02x}"
            names.append(ARM_CORES.get((maker, part), unknown))
    return " + ".join(dict.fromkeys(names))


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _core_capacities(root: Path, cpus: Collection[int]) -> dict[str, int]:
    """The speed of each core by its list of CPUs ("0,8"), or by "cpuN" if cores are unknown."""
    slow = _cpu_list(_read(root / "sys/devices/cpu_atom/cpus"))
    cores = {}
    for cpu in sorted(cpus):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}"
        guess = ATOM_CAPACITY if cpu in slow else FULL_CAPACITY
        capacity = _integer(folder / "cpu_capacity")
        cores[_siblings(folder) or f"cpu{cpu}"] = guess if capacity is None else capacity
    return cores


def _mac_cores() -> dict[str, int]:
    """The speed of each core of a Mac, which has no affinity masks; level 0 is the fastest."""
    levels = sysctl_number("hw.nperflevels")
    counts = [sysctl_number(f"hw.perflevel{n}.physicalcpu") for n in range(levels)]
    return {
        f"level {level}, core {core}": ATOM_CAPACITY if level else FULL_CAPACITY
        for level, count in enumerate(counts or [sysctl_number("hw.physicalcpu")])
        for core in range(count)
    }


def _siblings(folder: Path) -> str:
    topology = folder / "topology"
    return _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")


def _even_share(capacities: Sequence[int]) -> int:
    """How many of the fastest cores to use: rows are split evenly, so the slowest one used
    sets the pace of all."""
    ranked = sorted(capacities, reverse=True)
    return max(range(1, len(ranked) + 1), key=lambda count: count * ranked[count - 1])


def _core_reason(root: Path, cpus: Collection[int], cores: Collection[str]) -> str:
    reason = f"{len(cores)} physical core" + "s" * (len(cores) > 1)
    if "cpu" in "".join(cores):
        reason = f"{len(cores)} CPUs (the system does not report its cores)"
    online = len(_cpu_list(_read(root / "sys/devices/system/cpu/online")))
    if len(cpus) < online:
        reason += f" on the {len(cpus)} of {online} CPUs that the affinity mask allows"
    return reason


def _cpu_quota(root: Path) -> float | None:
    """The lowest CPU quota of this process's control groups, or None without a quota."""
    quotas = [
        quota / period
        for folder in _cgroups(root, "cpu")
        for quota, period in (_quota_v2(folder), _quota_v1(folder))
        if quota is not None and period
    ]
    return min(quotas, default=None)


def _quota_v2(folder: Path) -> tuple[int | None, int]:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    return (int(quota), int(period or 100_000)) if quota.isdigit() else (None, 0)


def _quota_v1(folder: Path) -> tuple[int | None, int]:
    # -1 means no quota; _integer gives None for it
    period = _integer(folder / "cpu.cfs_period_us") or 0
    return _integer(folder / "cpu.cfs_quota_us"), period


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups and their parents; any of them may set a limit.

    A line of /proc/self/cgroup is `id:controllers:path`; version 2 names no controllers. In a
    container the path may belong to the host's tree: then only the mount's root exists.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        for mount in (names, controller) if names else ("", "unified"):
            group = PurePosixPath(path)
            for folder in (group, *group.parents):
                yield root / "sys/fs/cgroup" / mount / str(folder).lstrip("/")


def _free_memory(root: Path) -> Iterator[MemoryLimit]:
    fields = dict(_fields(_read(root / "proc/meminfo")))
    if "MemAvailable" in fields:
        kib = int(fields["MemAvailable"].split()[0])
        yield MemoryLimit(kib * 1024, "memory that is free or can be reclaimed")


def _cgroup_memory(root: Path) -> Iterator[MemoryLimit]:
    for folder in _cgroups(root, "memory"):
        for limit_name, used_name, prefix in (
            ("memory.max", "memory.current", ""),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        ):
            limit = _integer(folder / limit_name)
            if limit is None:
                continue
            # Cached file pages count as used, but the kernel drops them when memory runs short.
            # Mapped pages (the code of running programs) are not subtracted: programs need them.
            stat = dict(
                line.partition(" ")[::2] for line in _read(folder / "memory.stat").split("\n")
            )
            cached = sum(int(stat.get(f"{prefix}{age}_file", 0)) for age in ("active", "inactive"))
            mapped = int(stat.get("file_mapped", stat.get("total_mapped_file", 0)))
            used = max(0, (_integer(folder / used_name) or 0) - max(0, cached - mapped))
            yield MemoryLimit(max(0, limit - used), "what the cgroup's memory limit leaves")


def _process_memory(root: Path) -> Iterator[MemoryLimit]:
    """What ulimits leave: every page counts, even those of mapped files."""
    if sys.platform == "win32":
        return
    pages = [int(field) for field in _read(root / "proc/self/statm").split()]
    for kind, flag, field in ((resource.RLIMIT_AS, "-v", 0), (resource.RLIMIT_DATA, "-d", 5)):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and len(pages) > field:
            rest = limit - pages[field] * resource.getpagesize() - MARGIN
            reason = f"what ulimit {flag} leaves of {limit / 1e6:.0f} MB"
            yield MemoryLimit(max(0, rest), reason)


def _system_memory() -> MemoryLimit:
    """For systems without /proc/meminfo."""
    if sys.platform == "win32":
        status = (ctypes.c_uint64 * 8)()  # MEMORYSTATUSEX; length and load share the first field
        ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return MemoryLimit(status[2], "free physical memory")
    if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return MemoryLimit(total, "all physical memory (the system does not report what is free)")
    return MemoryLimit(sys.maxsize, "unknown (the system does not report it)")


def _read(path: Path) -> str:
    """The file's text; empty if it cannot be read, since kernels and containers differ."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _integer(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdigit() else None


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _cpu_list(text: str) -> set[int]:  # "0-3,8" -> {0, 1, 2, 3, 8}
    cpus: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus
