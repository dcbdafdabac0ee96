"""The commands request train and request evaluate: they ask a training worker, and wait for its answer."""

from __future__ import annotations

import json
import queue
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.broker_options import pubsub_only
from client.cli.dead_letter_options import Group
from client.gcp import Cloud, UsageError

if TYPE_CHECKING:
    from functions.messages.training import TrainingAnswer, TrainingRequest

_POLL_S = 0.5
"""Seconds of the longest wait, because on some systems a waiting thread does not notice Ctrl-C."""

_EXIT_CODES = """\b
Exit codes:
  0    the request is answered, or with --no-wait sent
  1    the answer is an error, or there is none
  2    wrong usage
  130  interrupted with Ctrl-C"""


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  predictions request train clothing --data gs://photos/clothing \\
    --backbone MobileNetV2
  predictions request evaluate clothing@candidate --data gs://photos/new""",
)
def request() -> None:
    """Ask the training worker for a new version of a model, or for its metrics.

    The worker of `retrain` must run: predictions up --retrain PLACE, or the job in
    the cloud. Everybody who may publish on req_train may ask.
    """


_common = options.together(
    options.option(
        "--data", required=True, metavar="PLACE", help="Where the images are: gs://bucket/prefix or a folder."
    ),
    options.option("--request-id", default="", metavar="ID", help="Id of the request.  [default: a random one]"),
    options.option("--no-wait", is_flag=True, help="Print the request's id, and do not wait for the answer."),
    options.option("--timeout", type=options.SECONDS, metavar="SECONDS", help="Longest wait.  [default: a day]"),
    options.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON line."),
    options.project,
    pubsub_only,
    options.option(
        "--topic",
        default="req_train",
        envvar="TRAIN_TOPIC",
        metavar="NAME",
        help="Topic of training requests.  [env: TRAIN_TOPIC; default: req_train]",
    ),
    options.response_topic,
)


@request.command(short_help="Train a version of a model.", epilog=_EXIT_CODES)
@click.argument("model", metavar="NAME")
@options.option("--backbone", required=True, metavar="NAME", help="Architecture; predictions model catalog lists them.")
@options.option("--epochs", type=options.Number(1, 1000, whole=True), metavar="N", help="Epochs of the head.")
@options.option("--quick", is_flag=True, help="Measure each engine's speed once.")
@options.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Another option of the training. May be repeated."
)
@options.option(
    "--base", default="stable", metavar="ALIAS", help="Compare with the version of this alias.  [default: stable]"
)
@_common
def train(
    model: str,
    backbone: str,
    epochs: int | None,
    quick: bool,
    settings: Sequence[str],
    base: str,
    data: str,
    **others: Any,
) -> int:
    """Train a version of the model NAME on the images below PLACE, one folder for each class.

    The answer has its metrics next to those of the base, on the same images that neither was trained on. The version is
    pushed to the registry. Unless it is worse, the alias `candidate` names it; it gets no request yet.

    \b
    Example:
      predictions request train clothing --data gs://photos/clothing \\
        --backbone MobileNetV2 --epochs 10 --set seed=1
    """
    config: dict[str, Any] = {"backbone": backbone}
    config |= ({"epochs": epochs} if epochs else {}) | ({"quick": True} if quick else {})
    for text in settings:
        name, mark, value = text.partition("=")
        if not mark or not name or name in config:
            raise UsageError(f"--set is {text!r}; it must be NAME=VALUE, once for each name")
        try:
            config[name] = json.loads(value)
        except ValueError:
            config[name] = value
    return _ask({"kind": "train", "model": model, "data": data, "base": base, "config": config}, **others)


@request.command(short_help="Measure a version of a model.", epilog=_EXIT_CODES)
@click.argument("model", metavar="NAME[@ALIAS|@VERSION]")
@_common
def evaluate(model: str, data: str, **others: Any) -> int:
    """Measure a version of the registry on the images below PLACE, one folder for each label.

    \b
    Example:
      predictions request evaluate clothing@candidate --data gs://photos/new
    """
    return _ask({"kind": "evaluate", "model": model, "data": data}, **others)


def _ask(
    body: dict[str, Any],
    request_id: str,
    no_wait: bool,
    timeout: float | None,
    as_json: bool,
    project: str,
    topic: str,
    response_topic: str,
) -> int:
    from client import emulators
    from client.results.output import Messages
    from client.transport.response_subscription import ResponseSubscription
    from functions.messages.training import decode_answer

    emulators.check_answers(emulators.PUBSUB)
    messages, cloud = Messages(), Cloud(project, topic, response_topic)
    arrived: queue.Queue[TrainingAnswer | str] = queue.Queue()
    body["request_id"] = request_id or str(uuid.uuid4())
    made = _checked(body)
    waiting = (
        nullcontext()
        if no_wait
        else ResponseSubscription(cloud, arrived.put, arrived.put, messages.show, decode=decode_answer)
    )
    with waiting as responses:
        _publish(cloud, made, responses.client_id if responses else "")
        if not responses:
            print(made.request_id)
            return 0
        messages.show(f"request {made.request_id} is sent; training takes minutes to hours. Ctrl-C stops the wait")
        answer = _wait(arrived, made.request_id, timeout or 86_400)
    if isinstance(answer, str):
        messages.show(answer)
        return 1
    return _show(answer, as_json, messages.show)


def _checked(body: dict[str, Any]) -> TrainingRequest:
    """Return the request, checked as the worker checks it. Raises UsageError."""
    from functions.messages.contract import Envelope
    from functions.messages.training import RejectedTraining, decode_training

    made = decode_training(Envelope(body["request_id"], json.dumps(body).encode()))
    if isinstance(made, RejectedTraining):
        raise UsageError(made.reason)
    return made


def _publish(cloud: Cloud, made: TrainingRequest, reply_to: str) -> None:
    """Publish the request; returns when the broker has it. Raises SendError."""
    from google.api_core.exceptions import GoogleAPIError

    from client.gcp import CALL_TIMEOUT_S, publisher
    from client.text import SendError, plain
    from functions.messages.training import encode_training

    attributes = {"request_id": made.request_id} | ({"reply_to": reply_to} if reply_to else {})
    path = cloud.topic_path(cloud.topic)
    with publisher() as client:
        try:
            client.publish(path, encode_training(made), **attributes).result(CALL_TIMEOUT_S)
        except (GoogleAPIError, TimeoutError) as exc:
            raise SendError(f"the request cannot be published: {plain(exc, path)}") from exc


def _wait(arrived: queue.Queue[TrainingAnswer | str], request_id: str, timeout_s: float) -> TrainingAnswer | str:
    """Return the answer, or why there is none."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(queue.Empty):
            found = arrived.get(timeout=_POLL_S)
            if isinstance(found, str) or found.response.request_id == request_id:
                return found
    return f"no answer within {timeout_s:,.0f} s; the request stays, and a worker answers it on the response topic"


def _show(answer: TrainingAnswer, as_json: bool, show: Callable[[str], None]) -> int:
    from functions.messages.training import encode_answer
    from model.text import printable

    error, model, training = answer.response.error, answer.response.model, answer.training
    if as_json:
        print(encode_answer(answer).decode())
    elif error:
        show(printable(f"{error.code}: {error.message}"))
    elif model and training:
        rows = [(model.version, training.scores)]
        if training.base_scores:
            rows.append((f"{training.base_version} ({training.base})", training.base_scores))
        width = max(len(printable(version)) for version, _ in rows)
        print(printable(f"{model.name} {model.version}, on {training.images:,} images"))
        print(f"  {'version':<{width}}{'accuracy':>10}{'F1':>9}{'calibration error':>19}")
        for version, scores in rows:
            shares = f"{scores.accuracy:>10.2%}{scores.macro_f1:>9.2%}{scores.calibration_error:>19.3f}"
            print(f"  {printable(version):<{width}}{shares}")
        print(printable(training.message))
    return 1 if error else 0
