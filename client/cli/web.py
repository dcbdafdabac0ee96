"""The command web: serves the page on which images are dropped and their predictions arrive."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from client.cli import options
from client.cli.broker_options import pubsub_only
from client.gcp import Cloud, UsageError

PORT = 8030
"""The port without --port: one that no part of this project and no common program uses."""


@click.command(
    cls=options.Command,
    epilog="""\b
Exit codes:
  2    wrong usage
  130  interrupted with Ctrl-C""",
)
@options.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@options.option(
    "--port",
    type=options.Number(0, 65535, whole=True),
    default=PORT,
    metavar="N",
    help=f"Port; 0 takes a free one.  [default: {PORT}]",
)
@options.option(
    "--server", default="", metavar="URL", help="Post all images to the worker at URL; no topic is used then."
)
@options.project
@pubsub_only
@options.topic
@options.response_topic
@options.option(
    "--dead-letters",
    default="dead_predict-sub",
    envvar="DEAD_LETTERS_SUBSCRIPTION",
    metavar="NAME",
    help="Subscription with dead letters.  [env: DEAD_LETTERS_SUBSCRIPTION; default: dead_predict-sub]",
)
@options.option(
    "--iap-audience",
    default="",
    envvar="IAP_AUDIENCE",
    metavar="AUDIENCE",
    help="Accept only requests that Identity-Aware Proxy signed for this service.  [env: IAP_AUDIENCE]",
)
@options.option(
    "--state",
    type=options.PathText(),
    envvar="PREDICTIONS_STATE",
    metavar="FILE",
    help="Job store, a file.  [env: PREDICTIONS_STATE; default: ~/.local/share/predictions/jobs.db]",
)
@click.pass_obj
def web(
    environ: Mapping[str, str],
    /,
    host: str,
    port: int,
    server: str,
    project: str,
    topic: str,
    response_topic: str,
    dead_letters: str,
    iap_audience: str,
    state: str | None,
) -> int:
    """Serve a page: drop images, and watch their predictions arrive.

    Images travel through the request topic, the bucket UPLOAD_BUCKET, or over HTTP to ENDPOINT_URL or WORKER_URL. Rows
    are kept in the job store, as those of the other commands.

    \b
    Examples:
      predictions web
      predictions web --server http://127.0.0.1:8080 --port 0
    """
    try:
        from client.web.server import serve
    except ModuleNotFoundError as exc:
        raise UsageError(f"{exc.name} is not installed: pip install starlette uvicorn") from None
    from client.emulators import monitoring_url
    from client.transport.topic import inline_limit
    from client.web.iap import IapTokens
    from client.web.settings import Settings

    cloud = Cloud("" if server else project, topic, response_topic)
    settings = Settings(
        cloud=cloud,
        upload_bucket=environ.get("UPLOAD_BUCKET", ""),
        payload_bucket=environ.get("PAYLOAD_BUCKET", ""),
        url=server or environ.get("ENDPOINT_URL") or environ.get("WORKER_URL", ""),
        token=environ.get("ENDPOINT_TOKEN", ""),
        inline_limit=inline_limit(environ),
        max_bytes=_max_bytes(environ),
        subscription=environ.get("REQUEST_SUBSCRIPTION", ""),
        monitoring_url=monitoring_url(environ),
        registry="" if server else environ.get("REGISTRY", ""),
        models=environ.get("MODELS", ""),
        artifact=environ.get("ARTIFACT", ""),
        dead_letters=dead_letters,
        iap=IapTokens(iap_audience) if iap_audience else None,
    )
    serve(settings, state, host, port, lambda text: print(text, file=sys.stderr, flush=True))
    return 0


def _max_bytes(environ: Mapping[str, str]) -> int:
    """Return the worker's MAX_IMAGE_BYTES where this environment has it. Raises UsageError."""
    from client.web.settings import MAX_IMAGE_BYTES

    text = environ.get("MAX_IMAGE_BYTES", "").strip() or str(MAX_IMAGE_BYTES)
    if text.isascii() and text.isdigit() and len(text) < 9 and 1_000 <= int(text) <= 32_000_000:
        return int(text)
    raise UsageError(f"MAX_IMAGE_BYTES is {text!r}; it must be a whole number of bytes from 1000 to 32000000")
