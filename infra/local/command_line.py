"""The twin's command line: the commands, their options and examples."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from infra.local import arguments
from infra.local.ports import LOOPBACK
from infra.local.topology import SHIPPED

_DESCRIPTION = "The twin's command line: `up` starts everything; `pubsub` or `storage` start one server."

_UP_EXAMPLES = """examples:
  {program} up                   everything on free ports, until Ctrl-C
  eval "$({program} up --env)"   in another terminal: use the running twin
  {program} up --worker pull --pubsub google
  {program} up --broker kafka
"""
_EXAMPLES = f"{_UP_EXAMPLES}  {{program}} pubsub --port 8085   only the Pub/Sub server\n"


def parser(program: str) -> argparse.ArgumentParser:
    """The parser; `command` of what it returns is up, pubsub or storage."""
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(
        program, description=_DESCRIPTION, epilog=_EXAMPLES.format(program=program), formatter_class=raw
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND", dest="command")
    up = commands.add_parser(
        "up", help="start everything in topology.yaml", epilog=_UP_EXAMPLES.format(program=program), formatter_class=raw
    )
    up.add_argument(
        "--broker",
        choices=["pubsub", "kafka"],
        default="pubsub",
        help="what carries requests: Kafka is that of KAFKA_BOOTSTRAP, else one of the twin's own (../shared/kafka)",
    )
    up.add_argument(
        "--pubsub",
        choices=["embedded", "google"],
        default="embedded",
        help="the project's server, or Google's emulator",
    )
    up.add_argument(
        "--worker",
        choices=["push", "pull", "none"],
        help="how requests reach the worker from Pub/Sub (push); none: no worker",
    )
    for part in ("pubsub", "storage", "worker", "page"):
        up.add_argument(f"--{part}-port", type=int, default=0, metavar="N", help="default: a free one")
    up.add_argument("--no-page", action="store_true", help="do not serve the page of `predictions web`")
    up.add_argument(
        "--retrain",
        type=arguments.place,
        default=os.environ.get("RETRAIN", ""),
        metavar="PLACE",
        help="run the training worker too, on images below PLACE: a folder or gs://bucket/prefix  [env: RETRAIN]",
    )
    up.add_argument(
        "--pretrained",
        type=arguments.folder,
        default=os.environ.get("PRETRAINED") or None,
        metavar="FOLDER",
        help="import three ImageNet models from this folder of weights, and serve them  [env: PRETRAINED]",
    )
    up.add_argument("--project", default="local", help="project id (local)")
    up.add_argument("--topology", type=Path, default=SHIPPED, metavar="FILE", help="default: infra/topology.yaml")
    up.add_argument(
        "--registry",
        default=os.environ.get("REGISTRY", ""),
        metavar="PLACE",
        help="serve models of this registry: a folder, or gs://models/registry in the twin (default: REGISTRY)",
    )
    up.add_argument(
        "--models",
        default=os.environ.get("MODELS", ""),
        metavar="NAME[@ALIAS],...",
        help="the models of the registry, the default first (default: MODELS)",
    )
    up.add_argument(
        "--log", type=Path, metavar="FILE", help="the worker's output (default: build/local/PID/worker.log)"
    )
    up.add_argument(
        "--env", nargs="?", type=int, const=0, metavar="PID",
        help="print the export lines of the running twin (of several: the newest, or process PID) and exit",
    )  # fmt: skip
    pubsub = commands.add_parser("pubsub", help="only the Pub/Sub server, without topics")
    pubsub.add_argument("--port", type=int, default=0, metavar="N", help="default: a free one")
    storage = commands.add_parser("storage", help="only the Storage server, with the topology's buckets")
    storage.add_argument("--port", type=int, default=0, metavar="N", help="default: a free one")
    for each in (up, storage):
        each.add_argument(
            "--signing-keys", type=arguments.folder, metavar="DIR",
            help="check signed URLs with the public keys there, a file EMAIL.pem each (default: check none)",
        )  # fmt: skip
    for each in (up, pubsub, storage):
        each.add_argument(
            "--host",
            type=arguments.host,
            default=LOOPBACK,
            help="address to listen on (127.0.0.1); 0.0.0.0 for all addresses",
        )
        each.add_argument(
            "--data-dir", type=Path, metavar="DIR", help="keep messages and objects there across restarts and kills"
        )
        each.add_argument(
            "--fault-plan",
            metavar="PLAN",
            help="inject faults: seed=1,errors=0.1,burst=3,duplicate=0.05 or a YAML or JSON file with such fields",
        )
    return made
