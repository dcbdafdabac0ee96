"""The options that say which broker has the topics."""

from __future__ import annotations

import os
from typing import Any

import click

from client.cli.options import FilePath, option, project, together
from client.gcp import UsageError, broker_address

VARIABLE = "PREDICTIONS_BROKER"
"""The environment variable with the address of the broker."""


class Address(click.ParamType[str]):
    """The address of a broker: `pubsub`, which becomes an empty text, or that of a Kafka cluster."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return broker_address(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class _Config(FilePath):
    """A file of properties, whose full path a job keeps."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return os.path.abspath(value) if value else ""


kafka_config = option(
    "--kafka-config",
    type=_Config(),
    default="",
    envvar="KAFKA_CONFIG",
    metavar="FILE",
    help="Properties of Kafka's client, name=value, for TLS and SASL.  [env: KAFKA_CONFIG]",
)
"""Declares --kafka-config."""

place = together(
    project,
    option(
        "--broker",
        type=Address(),
        default="",
        envvar=VARIABLE,
        metavar="ADDRESS",
        help=f"Broker with the topics: pubsub, or kafka://HOST:PORT[,HOST:PORT...].  [env: {VARIABLE}; default: "
        "pubsub]",
    ),
    kafka_config,
)
"""Declares where the topics are: the parameters project, broker and kafka_config."""


def _refuse_kafka(ctx: click.Context, param: click.Parameter, value: str) -> None:
    if value and not ctx.resilient_parsing:
        raise UsageError(f"it needs Pub/Sub, and the broker is {value}: give --broker pubsub, or unset {VARIABLE}")


pubsub_only = option(
    "--broker", type=Address(), default="", envvar=VARIABLE, hidden=True, expose_value=False, callback=_refuse_kafka
)
"""Declares that a command needs Pub/Sub: it refuses another broker instead of using the wrong one."""
