"""The command frames: publishes frames of a video in their order."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.cli import options, sending_options
from client.cli.broker_options import place
from client.cli.commands import publish_session, split
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.definition import Definition
    from client.jobs.job import Job
    from client.sources.video import Cut, Video

_LEAST_EVERY_MS = 10
"""Milliseconds of the shortest period: frames have names with milliseconds."""

_OF_THE_JOB = ("video", "every_ms", "start_ms", "end_ms", "limit", "form", "top_k", "model")
"""Parameters that --resume takes from the job."""

_PERIOD = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,3}))?(s|m|h)")
_CLOCK = re.compile(r"(?:([0-9]{1,4}):)?([0-5]?[0-9]):([0-5]?[0-9])(?:\.([0-9]{1,3}))?")
_MS = {"s": 1000, "m": 60_000, "h": 3_600_000}


class _Time(click.ParamType[int]):
    """A time in a video or a period: 1s, 0.5s, 2m, 1h, or hours, minutes and seconds; gives milliseconds."""

    name = "time"

    def __init__(self, least_ms: int) -> None:
        self._least_ms = least_ms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text, ms = str(value), -1
        if found := _PERIOD.fullmatch(text):
            ms = (1000 * int(found[1]) + _thousandths(found[2])) * _MS[found[3]] // 1000
        elif found := _CLOCK.fullmatch(text):
            ms = 3_600_000 * int(found[1] or 0) + 60_000 * int(found[2]) + 1000 * int(found[3]) + _thousandths(found[4])
        if ms < self._least_ms:
            at_least = f", {self._least_ms / 1000:g}s or more" if self._least_ms else ""
            self.fail(f"{text!r} is no time: give 1s, 0.5s, 2m, 1h or 00:01:05.000{at_least}", param, ctx)
        return ms


def _thousandths(digits: str | None) -> int:
    return int((digits or "").ljust(3, "0"))


@click.command(cls=options.Command, epilog=options.IMAGE_EXIT_CODES)
@click.argument("video", metavar="[VIDEO]", required=False, type=options.FilePath(), help="The video file.")
@options.option(
    "--every",
    "every_ms",
    type=_Time(_LEAST_EVERY_MS),
    default="1s",
    metavar="TIME",
    help="Send the first frame at or after each multiple of TIME: 1s, 0.5s, 2m.  [default: 1s]",
)
@options.option(
    "--start", "start_ms", type=_Time(0), default="0s", metavar="TIME", help="Begin at TIME: 90s, 5m or 01:05:00."
)
@options.option("--end", "end_ms", type=_Time(1), metavar="TIME", help="End before TIME.")
@options.option("--limit", type=options.Number(1, whole=True), metavar="N", help="End after N frames.")
@options.option(
    "--format",
    "form",
    type=click.Choice(["jpeg", "png"]),
    default="jpeg",
    help="Encoding of the frames.  [default: jpeg]",
)
@options.option("--json", "as_json", is_flag=True, help="Print one JSON line for each frame, as its response arrives.")
@options.output
@sending_options.request
@sending_options.timeout
@sending_options.resume
@place
@options.receiving
@options.topic
@options.payload_bucket
@options.state
@click.pass_obj
def frames(
    environ: Mapping[str, str],
    /,
    video: Path | None,
    every_ms: int,
    start_ms: int,
    end_ms: int | None,
    limit: int | None,
    form: str,
    output: Sequence[Path],
    **given: Any,
) -> int:
    """Publish frames of a video in their order, and wait for their labels.

    The ordering key of the requests is the name of the video. Decoding needs PyAV: pip install av

    \b
    Examples:
      predictions frames film.mp4 --every 2s --output film.csv
      predictions frames film.mp4 --start 00:10:00 --end 00:11:00
      predictions frames --resume last
    """
    from client.results.output import Messages
    from client.results.result_files import append_missing, open_writers
    from client.sources.video import Cut

    messages = Messages()
    if given["resume"]:
        if named := sending_options.given(_OF_THE_JOB):
            raise UsageError(
                f"--resume takes the video and its frames from the job: leave out {', '.join(named.values())}"
            )
    elif video is None:
        raise UsageError("no video is named: give VIDEO, or --resume JOB")
    if end_ms is not None and end_ms <= start_ms:
        raise UsageError("--end is not after --start")
    definition, arguments = split(
        "publish",
        given
        | {
            "paths": [str(video)] if video else [],
            "rate": None,
            "tries": 1,
            "every": 60.0,
            "unsent": None,
            "log": None,
        },
    )
    cut = Cut(every_ms, start_ms, end_ms, limit, form)
    definition = replace(definition, command="frames", selection=_selection(video, cut) if video else {})
    for writer in open_writers(output, messages.show).values():  # wrong names are refused before anything is sent
        writer.close()

    def end(job: Job, code: int) -> int:
        """Write the rows in the order of the frames."""
        records = job.answered_records if code == options.INTERRUPTED else job.records
        return code if append_missing(output, records, messages.show) else code or 1

    return publish_session(environ, definition, arguments, _open, end)


def _selection(video: Path, cut: Cut) -> dict[str, Any]:
    """Return what the job keeps, so that --resume finds the same frames. Raises UsageError."""
    try:
        status = video.stat()
    except OSError as exc:
        raise UsageError(f"VIDEO is {str(video)!r}: {exc.strerror}") from None
    return {
        "video": os.path.abspath(video),
        "given": str(video),
        "version": [status.st_size, status.st_mtime_ns],
        "cut": asdict(cut),
    }


def _open(definition: Definition) -> Video:
    """Return the frames that a job selects. Raises UsageError when the video is another one by now."""
    from client.sources.video import Cut, Video

    selected, cut = definition.selection, Cut(**definition.selection["cut"])
    is_here = os.path.abspath(selected["given"]) == selected["video"]
    path = Path(selected["given"] if is_here else selected["video"])
    if _selection(path, cut)["version"] != selected["version"]:
        raise UsageError(f"{str(path)!r} has changed since the job began: send its frames in a new one")
    return Video(path, cut, definition.client_id)
