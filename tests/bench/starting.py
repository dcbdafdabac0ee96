"""A worker's start step by step, in a process of its own: `python -m tests.bench.starting MODULE < image`.

Prints when each step was done, by the clock that all processes of a machine share (Linux: CLOCK_MONOTONIC).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time


def main() -> None:
    """The steps that the worker takes before its first answer is published."""
    done = {"interpreter": time.perf_counter()}
    importlib.import_module(sys.argv[1])
    done["imports"] = time.perf_counter()
    from functions import bootstrap
    from functions.messages.contract import Envelope, Request
    from functions.messages.request_decoder import decode

    handler = bootstrap.handler()
    done["model"] = time.perf_counter()
    request = decode(Envelope("bench", sys.stdin.buffer.read()))
    assert isinstance(request, Request)
    response = handler.pipeline.submit(request).result()
    assert response.status == "ok", response.error
    done["first answer"] = time.perf_counter()
    handler.publisher.publish(response).result(60)
    done["first publish"] = time.perf_counter()
    print(json.dumps(done), flush=True)
    os._exit(0)  # as in life, nothing of the end belongs to the start


if __name__ == "__main__":
    main()
