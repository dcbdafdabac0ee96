"""A lack of memory is not taken for a damaged image."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import LARGE

DECODE = """
import resource, sys
from model.images.decode import decode_image
from model.images.limits import Limits
data = open(sys.argv[1], "rb").read()
decode_image(data[:3_000], Limits()) if len(sys.argv) < 3 else None
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 60_000_000,) * 2)
try:
    decode_image(data, Limits(), 448)
except Exception as exc:
    print(type(exc).__name__)
"""


@pytest.mark.parametrize("name", ["progressive jpeg", "parted jpeg", "float tiff", "webp of a phone", "clear png"])
def test_a_lack_of_memory_is_not_an_invalid_image(name: str, tmp_path: Path, root: Path) -> None:
    """libjpeg and libtiff fail as at a damaged file. It is ours: a worker with more memory answers."""
    assert resource.RLIMIT_AS
    file = tmp_path / "image"
    file.write_bytes(LARGE[name]())
    ran = subprocess.run(
        [sys.executable, "-c", DECODE, str(file), "-"], cwd=root, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "MemoryError\n", ran.stderr
