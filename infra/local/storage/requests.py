"""One request to the Storage server: its body read whole and exact, and the object that it is about."""

from __future__ import annotations

import io
import json
from email.message import Message
from types import SimpleNamespace
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest, NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import Request, _read_data, _read_raw_data

from infra.local.storage.store import ObjectStore

READS = frozenset({objects.get, objects.download})
_ADDRESSED = READS | {objects.delete, objects.patch, objects.compose, objects.xml_upload}
_COPIES = frozenset({objects.copy, objects.rewrite})

_CONDITIONS = {
    "If-Match": "ifMatch",
    "If-None-Match": "ifNoneMatch",
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}


class StorageRequest(Request):  # type: ignore[misc]  # the package has no types
    """The package's request, with the body read beforehand: an early refusal must not leave it on the wire."""

    def __init__(self, handler: Any) -> None:
        super().__init__(handler, handler.headers.get("x-http-method-override") or handler.command)
        self.server_side = handler.server
        self.body: bytes = _read_raw_data(handler) or b""
        self._parsed: Any = None

    @property
    def conditions(self) -> dict[str, Any]:
        """The query, with what else binds the request: etags, and the headers of the XML API."""
        given = {name: self.get_header(header) for header, name in _CONDITIONS.items()}
        return {**self.query, **{name: [value] for name, value in given.items() if value}}

    @property
    def data(self) -> Any:
        """The body as the package's handlers want it: JSON, the parts of an upload, or bytes."""
        if self._parsed is None:
            self._parsed = self._parse()
        return self._parsed

    def _parse(self) -> Any:
        kind = self.get_header("Content-Type", "")
        if "upload_id" in self.query or self.query.get("uploadType") == ["media"]:
            return self.body
        if kind.startswith("multipart/related"):
            return _parts(self.body, kind)
        handler = SimpleNamespace(headers=self._request_handler.headers, rfile=io.BytesIO(self.body))
        return _read_data(handler, self.query) or b""


def target(request: StorageRequest, handler: Any, store: ObjectStore) -> tuple[str, str] | None:
    """Bucket and name of the object that a request reads or writes, or None when it is about no single object."""
    params = request.params
    if "upload_id" in request.query:
        try:
            started = store.get_resumable_file_obj(request.query["upload_id"][0])
        except NotFound:
            return None
        return started["bucket"], started["name"]
    if handler is objects.insert:
        if "name" in request.query:
            return params["bucket_name"], request.query["name"][0]
        described = request.data.get("meta", request.data) if isinstance(request.data, dict) else {}
        return params["bucket_name"], described.get("name", "")
    if handler in _COPIES:
        return params["dest_bucket_name"], params["dest_object_id"]
    return (params["bucket_name"], params["object_id"]) if handler in _ADDRESSED else None


def source(request: StorageRequest, handler: Any) -> tuple[str, str] | None:
    """Bucket and name of the object that a copy reads, or None when it is no copy."""
    return (request.params["bucket_name"], request.params["object_id"]) if handler in _COPIES else None


def _parts(body: bytes, content_type: str) -> dict[str, Any]:
    """The two parts of an upload. By bytes, not by lines: an image may hold any line ending, also as its last byte."""
    header = Message()
    header["Content-Type"] = content_type
    mark = b"\r\n--" + (header.get_boundary() or "").encode()
    parts = [part.partition(b"\r\n\r\n") for part in (b"\r\n" + body).split(mark)[1:3]]
    try:
        (_, _, described), (head, _, content) = parts
        meta = json.loads(described)
    except ValueError as exc:
        raise BadRequest("An upload must have two parts: the object's JSON and its bytes") from exc
    of_content = Message()
    for line in head.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip():
            of_content[name.strip()] = value.strip()
    return {"meta": meta, "content": content, "content-type": of_content.get_content_type()}
