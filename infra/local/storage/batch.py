"""Batches: several requests in one, each answered as if it had been sent alone."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser

from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.request import Request

# Requests in a batch.
_LIMIT = 1000
_MARK = "batch_of_answers"


def answer_batch(request: Request, one: Callable[[Request], Answer]) -> Answer:
    """Answer every part, in order, with `one` (Google Cloud, "Sending batch requests")."""
    kind = request.headers.get("Content-Type", "")
    whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + bytes(request.body))
    parts = [part for part in whole.walk() if part is not whole] if whole.is_multipart() else []
    if not parts or len(parts) > _LIMIT:
        raise Refusal(400, f"A batch must be multipart/mixed with 1 to {_LIMIT} requests", "invalid")
    content = b""
    for part in parts:
        inner = one(_request(request, part))
        name = f"Content-ID: <response-{part['Content-ID'].strip('<>')}>\r\n" if part.get("Content-ID") else ""
        inner.headers["Content-Length"] = str(len(inner.content))
        head = f"--{_MARK}\r\nContent-Type: application/http\r\n{name}\r\nHTTP/1.1 {inner.status} {inner.phrase}\r\n"
        content += head.encode() + inner.header_lines() + b"\r\n" + inner.content + b"\r\n"
    content += f"--{_MARK}--\r\n".encode()
    return Answer(content, headers={"Content-Type": f"multipart/mixed; boundary={_MARK}"})


def _request(batch: Request, part: Message) -> Request:
    raw = part.get_payload(decode=True)
    line, _, rest = raw.lstrip().partition(b"\n") if isinstance(raw, bytes) else (b"", b"", b"")
    try:
        method, address, *_ = line.decode().split()
    except ValueError as exc:
        reason = "A part of a batch must start with a request line, such as GET /storage/v1/b/B HTTP/1.1"
        raise Refusal(400, reason, "invalid") from exc
    headers = BytesParser().parsebytes(rest)
    body = headers.get_payload(decode=True)
    headers["Host"] = batch.headers.get("Host", "127.0.0.1")
    path = "/" + address.partition("://")[2].partition("/")[2] if "://" in address else address
    if "alt=media" in path or path.startswith(("/upload", "/download")):
        raise Refusal(400, "A batch cannot upload or download objects", "invalid")
    return Request(method, path, headers, body.strip() if isinstance(body, bytes) else b"")
