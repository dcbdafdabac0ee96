"""`python -m client doctor`: from the flags to the round, line by line, and the exit code."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict

from client.doctor.artifact import check_place
from client.doctor.clients import Clients
from client.doctor.examine import LOGIN, Check, checks, examine
from client.doctor.finding import Finding, fail
from client.doctor.rows import rows
from client.doctor.show import Lines
from client.doctor.wanted import Wanted
from client.doctor.worker import Deployment
from client.gcp import Cloud, UsageError
from client.results.output import Talk
from client.text import printable


def run_doctor(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Look everything over; 1 when something failed."""
    listed = list(_checks(args))
    lines, seen = Lines([check.what for check in listed]), Counter[str]()
    for finding in _findings(Cloud(args.project), listed):
        seen[finding.level] += 1
        if args.json:
            print(json.dumps(asdict(finding)), flush=True)
        else:
            lines.show(finding)
    Talk().say(", ".join(f"{seen[level]} {level}" for level in ("ok", "warn", "fail")))
    return 1 if seen["fail"] else 0


def _checks(args: argparse.Namespace) -> Iterable[Check]:
    """What is asked for, by its real names: a bucket's has the project in it, since they are shared by the world."""
    cloud, prefix = Cloud(args.project), f"{args.prefix}-" if args.prefix else ""
    named = {
        "uploads": args.upload_bucket or f"{args.project}-{prefix}uploads",
        "payloads": args.payload_bucket or f"{args.project}-{prefix}payloads",
    }
    if args.url and not re.fullmatch(r"https?://[^/?#\s]+/?", args.url):
        raise UsageError(f"--url is {printable(args.url)!r}; it must look like http://HOST or https://HOST")
    deployment = Deployment(args.project, args.url.rstrip("/"), prefix, args.region, args.compute)
    wanted = Wanted.read(args.topology, cloud, prefix, named)
    return checks(wanted, rows(cloud, prefix), named.values(), deployment, check_place(args.artifact))


def _findings(cloud: Cloud, listed: Iterable[Check]) -> Iterable[Finding]:
    from google.auth.exceptions import DefaultCredentialsError

    try:
        clients = Clients(cloud)
    except DefaultCredentialsError:
        yield fail("credentials", "nobody is signed in on this machine", LOGIN)
        return
    with closing(clients):
        yield from examine(clients, listed)
