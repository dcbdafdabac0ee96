"""The worker's settings of malloc and the garbage collector, each tested in a separate process."""

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


def test_memory_for_the_next_image_is_kept_and_large_blocks_are_returned() -> None:
    faulted, grown = map(int, _output(_LARGE_BLOCKS))
    assert faulted < 100  # 100,000 if the blocks were allocated again each time
    assert grown < 10_000_000


def test_the_garbage_collector_runs_seldom_but_runs() -> None:
    assert _output(_CYCLES) == ["0", "True", "True"]


def _output(program: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
