"""What the worker asks of the C library and of the garbage collector, in a process of its own: it is for all of it."""

from __future__ import annotations

import subprocess
import sys

_LARGE_BLOCKS = """
import resource
from functions.runtime.memory_tuning import release_large_blocks

def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

release_large_blocks()
bytes(bytearray(b"x" * 4_000_000))
before = faults()
for _ in range(50):
    bytearray(b"x" * 4_000_000)
print(faults() - before)
before, large = resident(), [bytearray(b"x" * 10_000_000) for _ in range(9)]
del large
print(resident() - before)
"""

_CYCLES = """
import gc
from functions.runtime.memory_tuning import tune_garbage_collector

tune_garbage_collector()
looks = []
gc.callbacks.append(lambda phase, info: looks.append(info))
kept = [[] for _ in range(49_000)]
print(len(looks), gc.get_freeze_count() > 1000)
for _ in range(100_000):
    cycle = []
    cycle.append(cycle)
print(len(looks) > 0)
"""


def test_room_for_the_next_image_is_kept_and_large_blocks_are_not() -> None:
    faulted, grown = map(int, _told(_LARGE_BLOCKS))
    assert faulted < 100  # were they had anew each time, it would be 100,000
    assert grown < 10_000_000


def test_cycles_are_looked_for_seldom_but_they_are() -> None:
    assert _told(_CYCLES) == ["0", "True", "True"]


def _told(program: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
