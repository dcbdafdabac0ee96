"""The commands index and similar: an index of the features in results, and the images of it that resemble one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.cli import options
from client.cli.commands import publish_job
from client.cli.sending_options import as_json as as_json_option
from client.cli.sending_options import given, resending
from client.gcp import UsageError

if TYPE_CHECKING:
    from client.jobs.job import Job
    from client.similarity.index_file import Index
    from client.similarity.search import Found


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    the index is written
  2    wrong usage, or a file that cannot be read or written""",
)
@click.argument(
    "results",
    nargs=-1,
    required=True,
    type=options.FilePath(),
    metavar="RESULTS...",
    help="Results files, or jobs such as job:last, of images that were sent with --features.",
)
@options.option(
    "--out", type=options.NewFile(".npz"), default=Path("index.npz"), metavar="FILE", help="[default: index.npz]"
)
@as_json_option
def index(results: Sequence[Path], out: Path, as_json: bool) -> int:
    """Write an index of the features in results, for the command similar.

    An index has the images of one model. A later row of the same file replaces an earlier one.

    \b
    Examples:
      predictions publish photos/ --features --output photos.jsonl
      predictions index photos.jsonl --out photos.npz
    """
    from client.jobs.rows import read_each
    from client.results.output import Messages
    from client.similarity.index_file import write_index
    from client.text import printable

    messages = Messages()
    made, unused = write_index(out, read_each(results, messages.show))
    if unused.without:
        messages.show(f"{unused.without:,} rows have no features and are left out")
    if unused.replaced:
        messages.show(f"{unused.replaced:,} rows are left out, because a later row has the same file")
    if as_json:
        model = {"name": made.model.name, "version": made.model.version, "digest": made.model.digest}
        print(json.dumps({"index": str(out), "images": len(made.images), "features": made.width, "model": model}))
    else:
        print(
            f"{printable(str(out))}: {len(made.images):,} images, {made.width:,} features, {printable(made.model.name)}"
        )
    return 0


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  0    the images are listed
  1    the image was not sent, or has no features
  2    wrong usage, or a file that cannot be read
  130  interrupted with Ctrl-C""",
)
@click.argument(
    "image",
    type=options.PathText(),
    metavar="IMAGE",
    help="A file or request id of the index, whose features are there already, or another image, which is published.",
)
@options.option(
    "--index",
    "path",
    type=options.FilePath(),
    default=Path("index.npz"),
    metavar="FILE",
    help="The index.  [default: index.npz]",
)
@options.option(
    "--top",
    type=options.Number(1, 1_000, whole=True),
    default=10,
    metavar="N",
    help="Number of images, 1 to 1,000.  [default: 10]",
)
@resending
@click.pass_obj
def similar(environ: Mapping[str, str], /, image: str, path: Path, top: int, **sent: Any) -> int:
    """List the images of an index that resemble an image, the most similar first.

    Two images are similar when the angle between their features is small: 1 is the same direction.

    \b
    Examples:
      predictions similar shoe.png --index photos.npz
      predictions similar photos/1.png --index photos.npz --top 3 --json
    """
    from client.results.output import Messages
    from client.similarity.index_file import read_index
    from client.similarity.search import nearest, place_of, vector_at
    from client.text import printable

    found, as_json = read_index(path), sent.pop("as_json")
    place = place_of(found, image)
    if place is not None:
        if flags := given(sent):
            raise UsageError(f"{', '.join(flags.values())}: nothing is sent, because the image is in the index")
        if Path(image).is_file():
            Messages().show(f"{printable(image)} is in the index: its features are used, and the file is not read")
        _show(found, nearest(found, vector_at(found, place), top, without=place), as_json)
        return 0

    if not image.startswith("gs://") and not Path(image).is_file():
        raise UsageError(f"{printable(image)} is no image of {printable(str(path))}, and no file")

    def search(job: Job, code: int) -> int:
        return _search(found, job, top, as_json)

    wanted = {"paths": [image], "features": True, "model": found.model.digest, "shown_as": f"similar {image}"}
    return publish_job(environ, sent | wanted, search)


def _search(found: Index, job: Job, top: int, as_json: bool) -> int:
    """List the images that resemble the one of a job, and return the exit code."""
    from client.results.output import Messages, rows
    from client.similarity.search import nearest
    from client.similarity.vectors import vector_of

    records = list(job.records())
    if len(records) != 1:
        raise UsageError(f"{len(records):,} images were sent; name one image")
    if not records[0].features:
        if not records[0].answered:  # the absence of features is said already
            Messages().show(": ".join(rows(records[0])[0][:2]))
        return 1
    _show(found, nearest(found, vector_of(records[0]), top), as_json)
    return 0


def _show(index: Index, found: Sequence[Found], as_json: bool) -> None:
    from client.table import show_table
    from client.text import brief

    if as_json:
        listed = [
            {"file": each.image.file, "request_id": each.image.request_id, "label": each.image.label}
            | {"similarity": each.similarity}
            for each in found
        ]
        print(json.dumps({"model_digest": index.model.digest, "similar": listed}))
        return
    table = [(brief(each.image.file), brief(each.image.label), f"{each.similarity:.4f}") for each in found]
    show_table(("file", "label", "similarity"), table, right=("similarity",))
