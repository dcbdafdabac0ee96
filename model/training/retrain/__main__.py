"""Runs one job: `python -m model.training.retrain FOLDER` reads it as a line of JSON from stdin and prints the result.

Only a training worker starts it, which keeps its end of stdin open: when that closes, the worker has ended, and this
process removes FOLDER and ends too. The result is one line of JSON on stdout: an error with a code where the sender
must change the request. Any other end of the process is a failure that another attempt may not meet.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from model.errors import ArtifactError, NotRegistered
from model.library_output import quiet_libraries
from model.text import shortened
from model.training.errors import ConfigError, DatasetError, TrainingError

_MAX_ERROR = 500
"""Characters of an error's message."""


def main(argv: list[str]) -> int:
    """Run the job of stdin in a folder. Returns 0 with a result on stdout, else 1."""
    work = Path(argv[0])
    given = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, args=(work,), daemon=True).start()
    try:
        with quiet_libraries():
            result = _run(given, work)
    except (ConfigError, DatasetError) as exc:
        result = _error("invalid_request", exc, work, given["data"])
    except NotRegistered as exc:
        result = _error("unknown_model", exc, work, given["data"])
    except (TrainingError, ArtifactError) as exc:
        print(shortened(str(exc), _MAX_ERROR), file=sys.stderr, flush=True)
        return 1
    except Exception as exc:
        traceback.print_exception(exc)
        return 1
    print(json.dumps(result), flush=True)
    return 0


def _run(given: dict[str, Any], work: Path) -> dict[str, Any]:
    from model.training.retrain.data import Limits
    from model.training.retrain.job import Job, run

    return run(Job(**{**given, "limits": Limits(**given["limits"])}), work)


def _error(code: str, exc: Exception, work: Path, place: str) -> dict[str, Any]:
    """An error for the sender, who knows the place of the data and not the folder of this process."""
    return {"error": {"code": code, "message": shortened(str(exc).replace(str(work / "data"), place), _MAX_ERROR)}}


def _end_with_parent(work: Path) -> None:
    sys.stdin.read()
    shutil.rmtree(work, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with the processes that measure speeds
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
