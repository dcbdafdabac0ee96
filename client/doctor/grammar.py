"""What may be typed after `doctor`, besides the project."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
SHIPPED = os.path.relpath(_ROOT / "model" / "artifacts" / "fashion-mnist")

DESCRIPTION = """\
Look over a deployment, in the cloud or on this machine, with your own rights: a line for each thing, and for what is
not as it should be the command that mends it.

example:
  python -m client doctor --project PROJECT --artifact gs://PROJECT-models/fashion-mnist
"""
EXIT = "exit code: 0 nothing failed, 1 something did, 2 wrong usage, 130 Ctrl-C"


def add(command: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Add them; defaults come from `environ`."""
    command.add_argument("--json", action="store_true", help="one JSON line a finding: level, what, said, mend")
    command.add_argument("--prefix", type=_prefix, default="", help="the prefix that Terraform put before the names")
    command.add_argument(
        "--upload-bucket",
        default=environ.get("UPLOAD_BUCKET", ""),
        metavar="NAME",
        help="the watched bucket (default: UPLOAD_BUCKET, or PROJECT-uploads as Terraform names it)",
    )
    command.add_argument(
        "--payload-bucket",
        default=environ.get("PAYLOAD_BUCKET", ""),
        metavar="NAME",
        help="the bucket for large images (default: PAYLOAD_BUCKET, or PROJECT-payloads)",
    )
    command.add_argument(
        "--url", default=environ.get("WORKER_URL", ""), help="the worker that is pushed to (default: WORKER_URL)"
    )
    command.add_argument(
        "--artifact",
        default=environ.get("ARTIFACT", "") or SHIPPED,
        metavar="PLACE",
        help="the model, a folder or gs://bucket/prefix (default: ARTIFACT, or the shipped one)",
    )
    command.add_argument(
        "--compute",
        choices=("push", "worker", "function"),
        default="push",
        help="what the worker is, as deploy was told (default %(default)s)",
    )
    command.add_argument("--region", default="europe-west1", help="for commands that need one (default %(default)s)")
    command.add_argument(
        "--topology",
        type=Path,
        default=_ROOT / "infra" / "topology.yaml",
        metavar="FILE",
        help="what should be there (default: infra/topology.yaml)",
    )


def _prefix(text: str) -> str:
    if not re.fullmatch("([a-z][a-z0-9]{0,10})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not up to 11 lower-case letters and digits, a letter first")
    return text


_prefix.__name__ = "prefix"  # argparse says "invalid <name> value"
