"""Watching: every response as it comes, whoever asked."""

from __future__ import annotations

import argparse
import json
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress

from client.cli.parser import cloud_of
from client.results.output import Talk, as_json
from client.text import brief
from client.transport.response_subscription import Inbox
from functions.messages.contract import Response

_WAITING = 1000
"""Responses held for a slow terminal; then the stream waits too."""

_LOOK_UP_S = 0.5
"""No wait is longer: some systems hear no Ctrl-C meanwhile."""


def run_watch(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print responses until `--limit`, Ctrl-C or the end of the stream (exit code 1)."""
    talk = Talk()
    waiting: queue.Queue[Response | str] = queue.Queue(_WAITING)
    done = threading.Event()

    def hold(got: Response | str) -> None:
        """Wait for room, but not for one who has stopped looking."""
        while not done.is_set():
            with suppress(queue.Full):
                return waiting.put(got, timeout=_LOOK_UP_S)

    with Inbox(cloud_of(args), hold, hold, talk.say, subscription=args.subscription, everyone=True) as inbox:
        try:
            talk.say(f"watching {inbox.path}; Ctrl-C ends it")
            return _show(args, waiting, talk)
        finally:
            done.set()


def _show(args: argparse.Namespace, waiting: queue.Queue[Response | str], talk: Talk) -> int:
    seen = 0
    while args.limit is None or seen < args.limit:
        try:
            got = waiting.get(timeout=_LOOK_UP_S)
        except queue.Empty:
            continue
        if isinstance(got, str):
            talk.say(got)
            return 1
        print(json.dumps(as_json(got)) if args.json else line(got), flush=True)
        seen += 1
    return 0


def line(response: Response) -> str:
    """A response in one line: when, what for, and the best label or the error."""
    name = response.source.filename or response.source.image_uri or response.request_id
    if response.error:
        said = f"{response.error.code}: {response.error.message}"
    elif response.predictions:
        said = f"{response.predictions[0].label} {response.predictions[0].score:.4f}"
    else:
        said = "no label"
    return "  ".join(map(brief, (response.completed_at, name, said)))
