"""Addresses of the two APIs, in every form that Google's clients use with an emulator."""

from __future__ import annotations

import re

BATCH = "/batch/storage/v1"

# Some clients leave out /storage/v1 or /upload when they use an emulator.
JSON = re.compile(
    r"(?:/resumable)?(?:/(?:upload|(?P<media>download)))?"
    r"(?:/storage/v1(?=/[bp])|(?=/b(?:/|$))|(?=/projects/[^/]+/(?:hmacKeys|serviceAccount)(?:/|$)))"
    r"(?P<resource>/.*)"
)
# The JSON API under a bucket's own host name, where /b/o is an object.
_WHOLE = re.compile(r"(?:/resumable)?(?:/upload|/download|/batch)?/storage/v1/.*")
_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9._-]*)\.localhost(?::\d+)?", re.IGNORECASE)


def path_of(path: str, host: str) -> str:
    """The path as the API has it: with the bucket of a virtual-hosted name, without slashes doubled by the client."""
    if "." in host and (virtual := _HOST.fullmatch(host)) and not _WHOLE.fullmatch(path) and path != BATCH:
        return f"/{virtual['bucket']}{path}"
    return "/" + path.lstrip("/") if path.startswith("//") or not path else path


def is_json(path: str) -> bool:
    """Whether a path belongs to the JSON API, not to the XML API."""
    return path == BATCH or JSON.fullmatch(path) is not None
