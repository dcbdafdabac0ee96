"""The JSON lines of a log that may still be written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def log_lines(log: Path) -> list[dict[str, Any]]:
    """Its lines that are JSON, without one at the end that is not complete yet."""
    return [json.loads(line) for line in log.read_text().split("\n")[:-1] if line.startswith('{"severity"')]
