"""Batches: several requests in one, each answered as if it had come alone, conditions and refusals included."""

from __future__ import annotations

import io
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from types import SimpleNamespace

from gcp_storage_emulator.exceptions import BadRequest

from infra.local.storage.answer import Answer
from infra.local.storage.requests import StorageRequest

PATH = "/batch/storage/v1"
_LIMIT = 1000
_MARK = "batch_of_answers"


def answer_batch(request: StorageRequest, answer: Answer, one: Callable[[StorageRequest, Answer], None]) -> None:
    """Answer every part in order by `one` (Google Cloud, "Sending batch requests")."""
    kind = request.get_header("Content-Type", "")
    whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.body)
    parts = [part for part in whole.walk() if part is not whole] if whole.is_multipart() else []
    if not parts or len(parts) > _LIMIT:
        raise BadRequest(f"A batch must be multipart/mixed with 1 to {_LIMIT} requests")
    for part in parts:
        inner = Answer()
        one(_request(request, part), inner)
        answer.write(f"--{_MARK}\r\nContent-Type: application/http\r\n")
        if name := part.get("Content-ID"):
            answer.write(f"Content-ID: <response-{name.strip('<>')}>\r\n")
        answer.write(f"\r\nHTTP/1.1 {inner.status} {inner.phrase}\r\n")
        for header, value in {**inner.headers, "Content-Length": str(len(inner.content))}.items():
            answer.write(f"{header}: {value}\r\n")
        answer.write("\r\n" + inner.content.decode() + "\r\n")
    answer.write(f"--{_MARK}--\r\n")
    answer["Content-Type"] = f"multipart/mixed; boundary={_MARK}"


def _request(batch: StorageRequest, part: Message) -> StorageRequest:
    raw = part.get_payload(decode=True)
    line, _, rest = raw.lstrip().partition(b"\n") if isinstance(raw, bytes) else (b"", b"", b"")
    try:
        method, address, *_ = line.decode().split()
    except ValueError as exc:
        raise BadRequest(
            "A part of a batch must start with a request line, such as GET /storage/v1/b/B HTTP/1.1"
        ) from exc
    headers = BytesParser().parsebytes(rest)
    body = headers.get_payload(decode=True)
    content = body.strip() if isinstance(body, bytes) else b""
    del headers["Content-Length"], headers["Host"]
    headers["Content-Length"] = str(len(content))
    headers["Host"] = batch.get_header("Host", "127.0.0.1")
    path = "/" + address.partition("://")[2].partition("/")[2] if "://" in address else address
    fake = SimpleNamespace(
        path=path, command=method, headers=headers, rfile=io.BytesIO(content), server=batch.server_side
    )
    return StorageRequest(fake)
