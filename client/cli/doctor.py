"""The command doctor: runs the checks, prints the findings, and returns the exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.broker_options import place
from client.gcp import Cloud, UsageError
from client.project_id import bucket_name
from model.text import printable

if TYPE_CHECKING:
    from client.doctor.finding import Finding
    from client.doctor.runner import Check

_ROOT = Path(__file__).resolve().parents[2]
"""The folder of the packages: the checkout, or site-packages."""


class _Prefix(click.ParamType[str]):
    name = "prefix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch("([a-z][a-z0-9]{0,10})?", value):
            self.fail(f"{value!r} must be at most 11 characters of a-z and 0-9, beginning with a-z", param, ctx)
        return str(value)


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    no check failed
  1    some checks failed
  2    wrong usage
  130  interrupted with Ctrl-C""",
)
@place
@options.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON line for each finding: level, subject, message, fix.",
)
@options.option("--prefix", type=_Prefix(), default="", help="Prefix of all names, as in Terraform.")
@options.option(
    "--upload-bucket",
    default="",
    envvar="UPLOAD_BUCKET",
    metavar="NAME",
    help="Watched bucket.  [env: UPLOAD_BUCKET; default: PROJECT-uploads, as Terraform names it]",
)
@options.option(
    "--payload-bucket",
    default="",
    envvar="PAYLOAD_BUCKET",
    metavar="NAME",
    help="Bucket for large images.  [env: PAYLOAD_BUCKET; default: PROJECT-payloads]",
)
@options.option(
    "--url", default="", envvar="WORKER_URL", metavar="URL", help="Address of the push worker.  [env: WORKER_URL]"
)
@options.option(
    "--page-url",
    default="",
    envvar="PAGE_URL",
    metavar="URL",
    help="Address of the page in the cloud, which must ask for a sign-in.  [env: PAGE_URL]",
)
@options.option(
    "--artifact",
    default="",
    envvar="ARTIFACT",
    metavar="PLACE",
    help="Model artifact: a folder or gs://bucket/prefix.  [env: ARTIFACT; default: the shipped one]",
)
@options.option(
    "--registry",
    default="",
    envvar="REGISTRY",
    metavar="PLACE",
    help="Registry of models, instead of an artifact: a folder or gs://bucket/prefix.  [env: REGISTRY]",
)
@options.option(
    "--models",
    default="",
    envvar="MODELS",
    metavar="NAME[@ALIAS],...",
    help="Models of the registry that the worker serves.  [env: MODELS]",
)
@options.option(
    "--compute",
    type=click.Choice(["push", "worker", "function", "kafka"]),
    default="push",
    help="Kind of worker, as given to make deploy.  [default: push]",
)
@options.option(
    "--region", default="europe-west1", metavar="NAME", help="Region in the printed commands.  [default: europe-west1]"
)
@options.option(
    "--topology",
    type=options.FilePath(),
    default=_ROOT / "infra" / "topology.yaml",
    metavar="FILE",
    help="The resources that should exist.  [default: infra/topology.yaml]",
)
def doctor(project: str, broker: str, kafka_config: str, as_json: bool, **given: Any) -> int:
    """Check a deployment, in the cloud or on this machine.

    The doctor uses your own permissions and changes nothing. It prints one line for each thing it checks, and below it
    the command that fixes what is wrong. With --broker it checks the topics and the group of workers in Kafka.

    \b
    Example:
      predictions doctor --project PROJECT \\
        --artifact gs://PROJECT-models/fashion-mnist
      predictions doctor --project PROJECT --models clothing \\
        --registry gs://PROJECT-models/registry
      predictions doctor --broker kafka://10.0.0.2:9092
    """
    from client import emulators

    if broker:
        return _show(*_of_kafka(Cloud("", broker=broker, kafka_config=kafka_config), **given), as_json)
    emulators.check_form(emulators.PUBSUB, emulators.STORAGE)
    listed = list(_checks(project, **given))
    return _show([check.subject for check in listed], _findings(Cloud(project), listed), as_json)


def _show(subjects: Sequence[str], findings: Iterable[Finding], as_json: bool) -> int:
    """Print the findings as they come, and return the exit code."""
    from collections import Counter
    from dataclasses import asdict

    from client.doctor.report import Report
    from client.results.output import Messages

    report, levels = Report(subjects), Counter[str]()
    for finding in findings:
        levels[finding.level] += 1
        if as_json:
            print(json.dumps(asdict(finding)), flush=True)
        else:
            report.show(finding)
    Messages().show(", ".join(f"{levels[level]} {level}" for level in ("ok", "warn", "fail")))
    return 1 if levels["fail"] else 0


def _of_kafka(cloud: Cloud, prefix: str, topology: Path, **_: Any) -> tuple[Sequence[str], Iterable[Finding]]:
    """Return the subjects of a Kafka cluster and the findings about them. What else was given is about Google Cloud."""
    from client.doctor.kafka.checks import run_checks, subjects
    from client.doctor.kafka.cluster import Cluster
    from client.doctor.kafka.expected import expected_topics, workers_group

    prefix = f"{prefix}-" if prefix else ""
    topics, (group, topic) = list(expected_topics(topology, prefix)), workers_group(prefix)
    return subjects(topics, group), run_checks(Cluster(cloud), topics, group, topic)


def _checks(
    project: str,
    prefix: str,
    upload_bucket: str,
    payload_bucket: str,
    url: str,
    page_url: str,
    artifact: str,
    registry: str,
    models: str,
    compute: str,
    region: str,
    topology: Path,
) -> Iterable[Check]:
    """Return the checks under the deployment's names. A bucket's name starts with the project's: it is world-unique."""
    from client.doctor.checks.artifact import check_place, shipped
    from client.doctor.checks.bigquery import bigquery
    from client.doctor.checks.models import ServedModels
    from client.doctor.deployment import Deployment
    from client.doctor.expected import Expected
    from client.doctor.runner import checks

    cloud, prefix = Cloud(project), f"{prefix}-" if prefix else ""
    buckets = {
        "uploads": upload_bucket or bucket_name(project, f"{prefix}uploads"),
        "payloads": payload_bucket or bucket_name(project, f"{prefix}payloads"),
    }
    for flag, address in (("--url", url), ("--page-url", page_url)):
        if address and not re.fullmatch(r"https?://[^/?#\s]+/?", address):
            raise UsageError(f"{flag} is {printable(address)!r}; it must look like http://HOST or https://HOST")
    deployment = Deployment(project, url.rstrip("/"), prefix, region, compute)
    expected = Expected.read(topology, cloud, prefix, buckets)
    served = ServedModels.read(registry, models, expected.comparisons)
    if served and artifact:
        raise UsageError("--artifact and --registry are both given; a worker serves one of them")
    model = served or check_place(artifact or shipped())
    rows = bigquery(cloud, prefix, expected.responses)
    return checks(expected, rows, buckets.values(), deployment, model, page_url.rstrip("/"))


def _findings(cloud: Cloud, listed: Iterable[Check]) -> Iterable[Finding]:
    from contextlib import closing

    from google.auth.exceptions import DefaultCredentialsError

    from client.doctor.clients import Clients
    from client.doctor.finding import fail
    from client.doctor.runner import LOGIN, run_checks

    try:
        clients = Clients(cloud)
    except DefaultCredentialsError:
        yield fail("credentials", "there are no credentials on this machine", LOGIN)
        return
    with closing(clients):
        yield from run_checks(clients, listed)
