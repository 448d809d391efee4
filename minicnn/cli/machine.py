"""What the machine offers: processor, memory, graphics card. Standard library only; unknown answers are None."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path


def processor_name() -> str:
    """The processor as its maker calls it, as far as the system tells."""
    if sys.platform == "linux":
        for line in _read("/proc/cpuinfo").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that can still be allocated without swapping, or None where the system does not say."""
    if sys.platform == "win32":
        return _windows_available_memory()
    limits = [limit for limit in (_meminfo("MemAvailable"), _control_group_room()) if limit is not None]
    if not limits and sys.platform == "darwin":
        # macOS counts no "available" memory; half of what is built in is a cautious guess.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return min(limits, default=None)


def resident_memory() -> int | None:
    """The most bytes that this process has held in memory so far, or None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def graphics_cards() -> list[str]:
    """The names of the NVIDIA cards that the driver reports."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _meminfo(field: str) -> int | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def _control_group_room() -> int | None:
    """What the container's limit leaves; cached files count as free, as the kernel drops them first."""
    for limit_path, usage_path, statistics_path, cached in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        limit, usage = _read(f"/sys/fs/cgroup/{limit_path}").strip(), _read(f"/sys/fs/cgroup/{usage_path}").strip()
        if limit.isdigit() and usage.isdigit():
            statistics = dict(line.split()[:2] for line in _read(f"/sys/fs/cgroup/{statistics_path}").splitlines())
            return int(limit) - int(usage) + int(statistics.get(cached, 0))
    return None


def _windows_available_memory() -> int | None:
    import ctypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in ("total", "available", "page_total", "page_free", "virtual_total", "virtual_free", "extended")
        ]

    status = MemoryStatus()
    status.length = ctypes.sizeof(status)
    kernel32 = getattr(ctypes, "windll").kernel32  # noqa: B009 - the name exists on Windows only
    return int(status.available) if kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None
