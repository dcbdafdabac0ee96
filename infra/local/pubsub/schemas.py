"""The SchemaService: Avro schemas with their revisions, and whether the messages of a topic fit."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from infra.local.pubsub.avro import Avro, BadSchema, Unfit
from infra.local.pubsub.refusal import Refusal, already_exists, invalid, not_found
from infra.local.pubsub.wire import page

SCHEMA_SERVICE: Mapping[str, Any] = {
    "CreateSchema": types.CreateSchemaRequest,
    "GetSchema": types.GetSchemaRequest,
    "ListSchemas": types.ListSchemasRequest,
    "ListSchemaRevisions": types.ListSchemaRevisionsRequest,
    "CommitSchema": types.CommitSchemaRequest,
    "RollbackSchema": types.RollbackSchemaRequest,
    "DeleteSchemaRevision": types.DeleteSchemaRevisionRequest,
    "DeleteSchema": types.DeleteSchemaRequest,
    "ValidateSchema": types.ValidateSchemaRequest,
    "ValidateMessage": types.ValidateMessageRequest,
}

_Schema: Any = types.Schema.pb()
_AVRO, _PROTOCOL_BUFFER, _JSON, _BINARY, _BASIC = 2, 1, 1, 2, 1
_PARENT = re.compile(r"projects/[^/\s]+")
_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_ENCODINGS = {_JSON: "JSON", _BINARY: "BINARY"}
_REVISIONS = 20


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a schema: as the API tells it, and to check messages with."""

    config: Any
    avro: Avro


class Schemas:
    """The methods of google.pubsub.v1.SchemaService, by their names there. Of a schema the last revision is current."""

    def __init__(self) -> None:
        self.schemas: dict[str, list[Revision]] = {}

    def CreateSchema(self, request: Any) -> Any:
        if not _PARENT.fullmatch(request.parent) or not _ID.fullmatch(request.schema_id):
            raise invalid(
                f"Invalid [schemas] name: (name={request.parent}/schemas/{request.schema_id}). The id must start with "
                "a letter, be 3 to 255 of letters, digits and - . _ ~ + %, and not start with goog"
            )
        name = f"{request.parent}/schemas/{request.schema_id}"
        avro = _avro(request.schema)
        if name in self.schemas:
            raise already_exists(name)
        self.schemas[name] = [_revision(name, request.schema.definition, avro)]
        return self.schemas[name][-1].config

    def GetSchema(self, request: Any) -> Any:
        return _viewed(self.revision(request.name).config, request.view)

    def ListSchemas(self, request: Any) -> Any:
        names = sorted(name for name in self.schemas if name.startswith(f"{request.parent}/schemas/"))
        names, token = page(names, request.page_size, request.page_token)
        found = [_viewed(self.schemas[name][-1].config, request.view or _BASIC) for name in names]
        return types.ListSchemasResponse.pb()(schemas=found, next_page_token=token)

    def ListSchemaRevisions(self, request: Any) -> Any:
        newest_first, token = page(self._revisions(request.name)[::-1], request.page_size, request.page_token)
        found = [_viewed(each.config, request.view or _BASIC) for each in newest_first]
        return types.ListSchemaRevisionsResponse.pb()(schemas=found, next_page_token=token)

    def CommitSchema(self, request: Any) -> Any:
        return self._add(request.name, request.schema.definition, _avro(request.schema))

    def RollbackSchema(self, request: Any) -> Any:
        old = self.revision(f"{request.name}@{request.revision_id}")
        return self._add(request.name, old.config.definition, old.avro)

    def DeleteSchemaRevision(self, request: Any) -> Any:
        name, _, revision_id = request.name.partition("@")
        old = self.revision(f"{name}@{revision_id or request.revision_id}")
        revisions = self._revisions(name)
        if len(revisions) == 1:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "The only revision of a schema cannot be deleted")
        revisions.remove(old)
        return revisions[-1].config

    def DeleteSchema(self, request: Any) -> Any:
        self._revisions(request.name)
        del self.schemas[request.name]
        return empty_pb2.Empty()

    def ValidateSchema(self, request: Any) -> Any:
        _avro(request.schema)
        return types.ValidateSchemaResponse.pb()()

    def ValidateMessage(self, request: Any) -> Any:
        avro = self.revision(request.name).avro if request.name else _avro(request.schema)
        _fits(avro, request.encoding, request.message)
        return types.ValidateMessageResponse.pb()()

    def restore(self, config: Any) -> None:
        """Add a revision that was checked before."""
        self.schemas.setdefault(config.name, []).append(Revision(config, _avro(config)))

    def check_settings(self, topic: Any) -> None:
        """Refuse a Topic whose schema is not there or whose encoding is not said."""
        settings = topic.schema_settings
        self.revision(settings.schema)
        _encoding(settings.encoding)

    def stamp(self, topic: Any, messages: Any) -> None:
        """Check what is published to a topic with a schema, and write into the messages what they were checked with."""
        settings = topic.schema_settings
        if not settings.schema:
            return
        if settings.schema not in self.schemas:
            raise invalid(f"The topic's schema {settings.schema} was deleted; nothing can be published to the topic")
        revisions = self._between(settings)
        used = [_first_fit(revisions, settings.encoding, message.data) for message in messages]
        for message, revision in zip(messages, used, strict=True):
            message.attributes["googclient_schemaencoding"] = _encoding(settings.encoding)
            message.attributes["googclient_schemaname"] = settings.schema
            message.attributes["googclient_schemarevisionid"] = revision.config.revision_id

    def revision(self, name: str) -> Revision:
        """The current revision of a schema, or the one after its @; a NOT_FOUND refusal when it is not there."""
        name, _, revision_id = name.partition("@")
        for each in reversed(self._revisions(name)):
            if not revision_id or each.config.revision_id == revision_id:
                return each
        raise not_found(f"{name}@{revision_id}")

    def _revisions(self, name: str) -> list[Revision]:
        if name not in self.schemas:
            raise not_found(name)
        return self.schemas[name]

    def _between(self, settings: Any) -> list[Revision]:
        """The revisions that a topic accepts, the newest first."""
        revisions = self.schemas[settings.schema]
        ids = [each.config.revision_id for each in revisions]
        first = ids.index(settings.first_revision_id) if settings.first_revision_id in ids else 0
        last = ids.index(settings.last_revision_id) if settings.last_revision_id in ids else len(ids) - 1
        return revisions[first : last + 1][::-1]

    def _add(self, name: str, definition: str, avro: Avro) -> Any:
        revisions = self._revisions(name)
        if len(revisions) >= _REVISIONS:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, f"A schema has at most {_REVISIONS} revisions")
        revisions.append(_revision(name, definition, avro))
        return revisions[-1].config


def _revision(name: str, definition: str, avro: Avro) -> Revision:
    config = _Schema(name=name, type_=_AVRO, definition=definition, revision_id=uuid.uuid4().hex[:8])
    config.revision_create_time.GetCurrentTime()
    return Revision(config, avro)


def _avro(schema: Any) -> Avro:
    if schema.type_ == _PROTOCOL_BUFFER:
        raise Refusal(
            grpc.StatusCode.UNIMPLEMENTED, "The local Pub/Sub server has schemas of type AVRO only, no PROTOCOL_BUFFER"
        )
    if schema.type_ != _AVRO:
        raise invalid("The schema has no type; it must be AVRO")
    try:
        return Avro(schema.definition)
    except BadSchema as exc:
        raise invalid(f"Invalid Avro schema: {exc}") from exc


def _encoding(encoding: int) -> str:
    if encoding not in _ENCODINGS:
        raise invalid("The encoding of the messages is not said; it must be JSON or BINARY")
    return _ENCODINGS[encoding]


def _fits(avro: Avro, encoding: int, data: bytes) -> None:
    _encoding(encoding)
    try:
        avro.check_json(data) if encoding == _JSON else avro.check_binary(data)
    except Unfit as exc:
        raise invalid(f"Invalid data in message: Message failed schema validation: {exc}") from exc


def _first_fit(revisions: list[Revision], encoding: int, data: bytes) -> Revision:
    for each in revisions[:-1]:
        try:
            _fits(each.avro, encoding, data)
        except Refusal:
            continue
        return each
    _fits(revisions[-1].avro, encoding, data)
    return revisions[-1]


def _viewed(config: Any, view: int) -> Any:
    """A schema, without its definition in the BASIC view."""
    if view != _BASIC:
        return config
    basic = _Schema()
    basic.CopyFrom(config)
    basic.ClearField("definition")
    return basic
