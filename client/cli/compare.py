"""The command compare: says how the predictions of two models differ, and whether one may replace the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.sending_options import given
from client.gcp import MAX_SECONDS, UsageError

if TYPE_CHECKING:
    from client.report.truth import Truth
    from client.results.record import Record


class _Period(click.ParamType[float]):
    """A period such as 90s, 30m, 12h or 7d; gives seconds."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from client.period import period

        found = period(str(value))
        if found is None or not 0 < found.total_seconds() <= MAX_SECONDS:
            self.fail(f"{value!r} is no period: give 90s, 30m, 12h or 7d, at most 7d", param, ctx)
        return found.total_seconds()


_SHARE = options.Number(0, 1, kind="share")

_FOR_VERDICTS = (
    *("stable", "candidate", "min_images", "margin", "max_disagreement", "max_error_increase"),
    *("max_latency_ratio", "registry", "save"),
)
_FOR_SHADOWS = ("only", "duration", "images", "idle", "output", "subscription", "project")


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    two files: every image is in both, with the same best label or none;
       a verdict: better or no worse, so that the model may be promoted
  1    two files: some images differ, or are in one file alone;
       a verdict: nothing can be received, written or saved
  2    wrong usage, or a file that cannot be read
  3    a verdict: worse, or not enough data
  130  interrupted with Ctrl-C

Verdict: no worse if the interval of each figure is within its limit, and
better if that of the accuracy is above 0 too; worse if an interval is beyond
its limit; else not enough data.""",
)
@click.argument(
    "paths",
    nargs=-1,
    type=options.FilePath(),
    metavar="[FILE]...",
    help="Two results files, or jobs such as job:last. With --canary: results files. With --shadow: saved comparisons; "
    "without a file they are received.",
)
@options.option("--shadow", is_flag=True, help="Judge a shadow by its comparisons with the served model.")
@options.option(
    "--canary",
    default="",
    metavar="NAME[@ALIAS]",
    help="Judge the canary ALIAS (candidate) of the model NAME by its share of the requests.",
)
@options.option("--verdict", is_flag=True, help="Judge whether the model of the second file may replace the first.")
@options.option(
    "--labels",
    type=options.FilePath(),
    metavar="PATH",
    help="The true labels, as for evaluate: also show which model is right.",
)
@options.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@options.option("--stable", default="", metavar="VERSION", help="The stable model: its version or digest.")
@options.option("--candidate", default="", metavar="VERSION", help="The candidate: its version or digest.")
@options.option(
    "--min-images",
    type=options.Number(1, whole=True),
    default=200,
    metavar="N",
    help="Requests that each model answers at least.  [default: 200]",
)
@options.option(
    "--margin", type=_SHARE, default=0.01, metavar="SHARE", help="Accuracy that may be lost.  [default: 0.01]"
)
@options.option(
    "--max-disagreement",
    type=_SHARE,
    metavar="SHARE",
    help="Requests with another label; for a canary the change of a label's share.  "
    "[default: 0.05; with --labels no limit]",
)
@options.option(
    "--max-error-increase",
    type=_SHARE,
    default=0.02,
    metavar="SHARE",
    help="More requests without predictions.  [default: 0.02]",
)
@options.option(
    "--max-latency-ratio",
    type=options.Number(0.1, 100),
    metavar="RATIO",
    help="p95 of predict_ms, divided by that of stable.  [default: 1.5; for a shadow no limit]",
)
@options.option(
    "--registry",
    default="",
    envvar="REGISTRY",
    metavar="ADDRESS",
    help="Registry of the models: says which version is stable, and keeps the verdict.  [env: REGISTRY]",
)
@options.option("--save", is_flag=True, help="Keep the verdict in the registry for alias promote.")
@options.option(
    "--only", default="", metavar="NAME[@ALIAS]", help="With --shadow: comparisons of this model and this shadow."
)
@options.option("--for", "duration", type=_Period(), metavar="TIME", help="With --shadow: receive for 90s, 30m, 12h.")
@options.option(
    "--images", type=options.Number(1, whole=True), metavar="N", help="With --shadow: receive N comparisons."
)
@options.option(
    "--until-idle",
    "idle",
    type=options.SECONDS,
    metavar="S",
    help="With --shadow: receive until none arrives for S seconds.  [default: 10 without --for and --images]",
)
@options.option(
    "--output", type=options.FilePath(), metavar="FILE", help="With --shadow: add what is received to FILE (.jsonl)."
)
@options.option(
    "--subscription",
    default="compare_predict-sub",
    metavar="NAME",
    help="Subscription of the comparison topic.  [default: compare_predict-sub]",
)
@options.project
def compare(
    paths: Sequence[Path],
    shadow: bool,
    canary: str,
    verdict: bool,
    labels: Path | None,
    as_json: bool,
    **others: Any,
) -> int:
    """Compare two models: those of two results files, a served model and its shadow, or stable and a canary.

    Rows of two files belong together that have the same file; what is then left, by request id. A comparison of a
    shadow is acked when it is written to --output.

    \b
    Examples:
      predictions compare stable.csv candidate.csv
      predictions compare stable.csv candidate.csv --labels photos/ --json
      predictions compare --shadow --images 300 --output shadow.jsonl
      predictions compare --canary clothing week.csv --registry models --save
    """
    from client.report.truth import read_truth
    from client.results.output import Messages

    _check_mode(len(paths), shadow, canary, verdict, has_labels=labels is not None)
    truth = read_truth(labels) if labels else None
    if shadow or canary or verdict:
        from client.cli.compare_verdict import Asked, show_verdict

        return show_verdict(Asked(paths=paths, shadow=shadow, canary=canary, as_json=as_json, **others), truth)
    from client.jobs.rows import read_rows

    show = Messages().show
    old, new = (read_rows([path], show) for path in paths)
    return show_comparison((str(paths[0]), str(paths[1])), old, new, truth, as_json=as_json)


def _check_mode(files: int, shadow: bool, canary: str, verdict: bool, *, has_labels: bool) -> None:
    """Raise UsageError for options that have no meaning together."""
    if shadow and canary:
        raise UsageError("--shadow and --canary are two comparisons; give one of them")
    if not shadow and (flags := given(_FOR_SHADOWS)):
        raise UsageError(f"{', '.join(flags.values())}: needs --shadow")
    if not (shadow or canary or verdict) and (flags := given(_FOR_VERDICTS)):
        raise UsageError(f"{', '.join(flags.values())}: needs --verdict, --shadow or --canary")
    if not has_labels and given(["margin"]):
        raise UsageError("--margin: needs --labels, because accuracy is measured with true labels")
    if canary and not files:
        raise UsageError("--canary: name the results files, or a job such as job:last")
    if not (shadow or canary) and files != 2:
        raise UsageError(f"{files} results files are named: give two, --shadow, or --canary NAME")


def show_comparison(
    names: tuple[str, str], old: Sequence[Record], new: Sequence[Record], truth: Truth | None = None, *, as_json: bool
) -> int:
    """Print how two runs differ, and return the exit code. Raises UsageError when they have no image in common."""
    from client.report import comparison_output as output
    from client.report.by_image import refuse_repeated
    from client.report.comparison import compare as paired
    from client.report.comparison import correctness
    from client.report.summary import summarize
    from client.results.output import Messages
    from client.text import printable

    messages = Messages()
    runs = summarize(old), summarize(new)
    found = paired(runs[0].records, runs[1].records)
    for name, repeated in zip(names, found.repeated, strict=True):
        refuse_repeated(repeated, printable(name))
    if not found.pairs:
        raise UsageError(f"{printable(names[0])} and {printable(names[1])} have no file and no request id in common")
    right = correctness(found, truth) if truth else None
    if as_json:
        print(json.dumps(output.to_dict(names, runs, found, right)))
    else:
        print("\n".join(output.to_lines(names, runs, found, right)))
    if right and right.unmeasured:
        messages.show(f"{right.unmeasured:,} labelled images have no predictions in both files and are not measured")
    for label in right.never if right else ():
        messages.show(f"{printable(label)} is never predicted; is it a label of the models?")
    return 0 if found.is_equal else 1
