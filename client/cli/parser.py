"""The command line's grammar: what may be typed, its defaults and its help. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NoReturn

from client.doctor import grammar as of_doctor
from client.gcp import Cloud, UsageError
from client.plan import grammar as of_plan
from client.transport.topic import INLINE_LIMIT, INLINE_LIMIT_MOST, Wishes
from functions.messages.contract import TOP_K_LIMIT
from model.text import printable

_PUBLISH = """\
Publish images on the request topic and wait for their labels. Large images go through a bucket by themselves.

example:
  python -m client publish shoe.png photos/ 'more/*.jpg' --top-k 3
"""
_UPLOAD = """\
Put images into the watched bucket and wait for their labels. A folder's files keep their paths below it.

example:
  python -m client upload photos/ --bucket uploads --prefix shop/
"""
_PREDICT = """\
Post images to a worker's HTTP endpoint.

example:
  python -m client predict shoe.png --url http://127.0.0.1:8080
"""
_WATCH = """\
Print every response as it comes, until Ctrl-C.

example:
  python -m client watch --json --limit 10
"""
_EXIT = "exit code: 0 every image has its labels, 1 some have an error or no answer, 2 wrong usage, 130 Ctrl-C"


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """The whole grammar; defaults come from `environ`."""
    top = _Parser(
        prog="python -m client",
        description="Send images to the prediction pipeline and see their labels.",
        epilog=f"example: python -m client publish shoe.png\n\n{_EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    publish = _command(commands, "publish", "publish images on the request topic", _PUBLISH)
    _sends(publish)
    _waits(publish)
    _cloud(publish, environ)
    publish.add_argument(
        "--topic",
        default=environ.get("REQUEST_TOPIC") or "req_predict",
        help="request topic (default: REQUEST_TOPIC, or req_predict)",
    )
    publish.add_argument(
        "--bucket",
        default=environ.get("PAYLOAD_BUCKET", ""),
        help="bucket for images over the inline limit, INLINE_LIMIT bytes (default: PAYLOAD_BUCKET)",
    )

    upload = _command(commands, "upload", "put images into the watched bucket", _UPLOAD)
    _sends(upload)
    _waits(upload)
    _cloud(upload, environ)
    upload.add_argument(
        "--bucket", default=environ.get("UPLOAD_BUCKET", ""), help="the bucket (default: UPLOAD_BUCKET)"
    )
    upload.add_argument("--prefix", default="", help="put before every object's name, such as shop/")

    predict = _command(commands, "predict", "post images to a worker over HTTP", _PREDICT)
    _sends(predict)
    predict.add_argument(
        "--url",
        default=environ.get("ENDPOINT_URL") or environ.get("WORKER_URL", ""),
        help="the worker's address (default: ENDPOINT_URL, or WORKER_URL)",
    )

    watch = _command(commands, "watch", "print responses as they come", _WATCH)
    _cloud(watch, environ)
    watch.add_argument("--json", action="store_true", help="one JSON line a response")
    watch.add_argument("--limit", type=_count, metavar="N", help="end after N responses")

    plan = _command(commands, "plan", "size, price and simulate a deployment", of_plan.DESCRIPTION, of_plan.EXIT)
    of_plan.add(plan)

    doctor = _command(commands, "doctor", "look a deployment over", of_doctor.DESCRIPTION, of_doctor.EXIT)
    _project(doctor, environ)
    of_doctor.add(doctor, environ)
    return top


def cloud_of(args: argparse.Namespace) -> Cloud:
    """The project and names that were asked for."""
    return Cloud(args.project, getattr(args, "topic", "req_predict"), args.response_topic)


def wishes_of(args: argparse.Namespace) -> Wishes:
    """What each request asks for."""
    return Wishes(args.top_k, args.model, args.expires_in, args.explain)


def inline_limit(environ: Mapping[str, str]) -> int:
    """INLINE_LIMIT in bytes. Raises UsageError."""
    text = environ.get("INLINE_LIMIT", "").strip() or str(INLINE_LIMIT)
    if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= INLINE_LIMIT_MOST:
        return int(text)
    raise UsageError(f"INLINE_LIMIT is {text!r}; it must be a whole number of bytes from 1 to {INLINE_LIMIT_MOST}")


class _Parser(argparse.ArgumentParser):
    """One that says wrong arguments back harmlessly: `publish *` passes on whatever strangers called their files."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


_Commands = argparse._SubParsersAction  # the only name that argparse has for it


def _command(
    commands: _Commands[_Parser], name: str, summary: str, description: str, epilog: str = _EXIT
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _sends(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="image file, folder or glob; symbolic links in them that lead out of the folder are not followed",
    )
    command.add_argument("--json", action="store_true", help="one JSON line an image")
    command.add_argument(
        "--top-k", type=_top_k, metavar="N", help=f"labels for each image, 1 to {TOP_K_LIMIT} (default: the worker's)"
    )
    command.add_argument("--model", metavar="NAME", help="refuse to be answered by another model")
    command.add_argument(
        "--explain",
        action="store_true",
        help="ask which part of each image decided: a picture <name>.explained.png in the current folder",
    )
    command.add_argument("--expires-in", type=_seconds, metavar="S", help="requests not answered in S seconds expire")
    command.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="wait S seconds for answers, counted from the last image sent (default 60)",
    )


def _waits(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-wait", action="store_true", help="print the request ids and end")


def _cloud(command: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    _project(command, environ)
    command.add_argument(
        "--response-topic",
        default=environ.get("RESPONSE_TOPIC") or "res_predict",
        help="response topic (default: RESPONSE_TOPIC, or res_predict)",
    )
    command.add_argument(
        "--subscription",
        default="",
        metavar="NAME",
        help="receive through this subscription, made beforehand for this client alone, instead of a temporary one",
    )


def _project(command: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    command.add_argument(
        "--project", default=environ.get("GOOGLE_CLOUD_PROJECT", ""), help="project (default: GOOGLE_CLOUD_PROJECT)"
    )


def _top_k(text: str) -> int:
    number = int(text)
    if not 1 <= number <= TOP_K_LIMIT:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to {TOP_K_LIMIT}")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 604_800:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0, at most a week")
    return number


_top_k.__name__ = _count.__name__ = "whole number"  # argparse says "invalid <name> value"
_seconds.__name__ = "number of seconds"
