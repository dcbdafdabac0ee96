"""A failed supervised thread ends its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_failed_thread_ends_the_process(root: Path) -> None:
    """Like a worker, which Cloud Run restarts."""
    code = """
import time
from functions.runtime.supervised import Supervisor
Supervisor().start("broken", lambda: 1 / 0)
time.sleep(30)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 1 and "the thread broken failed: ZeroDivisionError" in ran.stderr
