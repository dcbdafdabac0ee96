"""Monitors a worker: its processes, whether they live, and their memory together (Linux)."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

_EVERY_S = 0.02


def family(pid: int) -> set[int]:
    """A process and its descendants; those that are ending may be missing."""
    found, todo = set(), [pid]
    while todo:
        each = todo.pop()
        found.add(each)
        try:
            for task in Path(f"/proc/{each}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _pss_kb(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def reset_peak() -> None:
    """Reset `peak_kb` of this process. Not getrusage: its peak is inherited from the parent process."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_kb() -> int:
    """The most memory that this process has held at once since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


class ProcessMonitor:
    """Samples the memory of a family of processes while the block runs; `peak_mb` is the most that was seen."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak_mb = pid, 0.0
        self.before = family(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    @property
    def unchanged(self) -> bool:
        """Whether the processes of the start still run."""
        return family(self.pid) == self.before

    def _sample(self) -> None:
        while not self._done.wait(_EVERY_S):
            self.peak_mb = max(self.peak_mb, sum(_pss_kb(each) for each in self.before) / 1024)

    def __enter__(self) -> ProcessMonitor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
