"""The SchemaService: schemas with their revisions, and the check of a topic's messages."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from infra.local.pubsub.definitions import Avro, Definition, InvalidDefinition, ProtocolBuffer, SchemaMismatch
from infra.local.pubsub.refusal import Refusal, already_exists, check_name, invalid, not_found
from infra.local.pubsub.wire import page

_Schema: Any = types.Schema.pb()
_BASIC = 1
_KINDS: Mapping[int, Callable[[str], Definition]] = {1: ProtocolBuffer, 2: Avro}
_ENCODINGS = {1: "JSON", 2: "BINARY"}
# Revisions of a schema.
_REVISIONS = 20


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a schema: the API's representation, and the definition that checks messages."""

    config: Any
    definition: Definition


class Schemas:
    """The methods of google.pubsub.v1.SchemaService, by their names there. A schema's last revision is current."""

    def __init__(self) -> None:
        self.schemas: dict[str, list[Revision]] = {}

    def CreateSchema(self, request: Any) -> Any:
        name = f"{request.parent}/schemas/{request.schema_id}"
        check_name("schemas", name)
        first = _revision(name, request.schema)
        if name in self.schemas:
            raise already_exists(name)
        self.schemas[name] = [first]
        return first.config

    def GetSchema(self, request: Any) -> Any:
        return _in_view(self.revision(request.name).config, request.view)

    def ListSchemas(self, request: Any) -> Any:
        names = sorted(name for name in self.schemas if name.startswith(f"{request.parent}/schemas/"))
        names, token = page(names, request.page_size, request.page_token)
        found = [_in_view(self.schemas[name][-1].config, request.view or _BASIC) for name in names]
        return types.ListSchemasResponse.pb()(schemas=found, next_page_token=token)

    def ListSchemaRevisions(self, request: Any) -> Any:
        newest_first, token = page(self._revisions(request.name)[::-1], request.page_size, request.page_token)
        found = [_in_view(each.config, request.view or _BASIC) for each in newest_first]
        return types.ListSchemaRevisionsResponse.pb()(schemas=found, next_page_token=token)

    def CommitSchema(self, request: Any) -> Any:
        return self._add(request.name, request.schema)

    def RollbackSchema(self, request: Any) -> Any:
        old = self.revision(f"{request.name}@{request.revision_id}")
        return self._add(request.name, old.config)

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
        _definition(request.schema)
        return types.ValidateSchemaResponse.pb()()

    def ValidateMessage(self, request: Any) -> Any:
        definition = self.revision(request.name).definition if request.name else _definition(request.schema)
        _fits(definition, request.encoding, request.message)
        return types.ValidateMessageResponse.pb()()

    def restore(self, config: Any) -> None:
        """Add a revision that was checked before."""
        self.schemas.setdefault(config.name, []).append(Revision(config, _definition(config)))

    def check_settings(self, topic: Any) -> None:
        """Refuse a Topic whose schema does not exist or whose encoding is missing."""
        settings = topic.schema_settings
        self.revision(settings.schema)
        _encoding(settings.encoding)

    def validate(self, topic: Any, messages: Any) -> None:
        """Check messages that are published to a topic with a schema, and add the attributes that name it to them."""
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
        """A schema's current revision, or the one after the @ of the name. Refuses with NOT_FOUND."""
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

    def _add(self, name: str, schema: Any) -> Any:
        revisions = self._revisions(name)
        if len(revisions) >= _REVISIONS:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, f"A schema has at most {_REVISIONS} revisions")
        if schema.type_ != revisions[-1].config.type_:
            raise invalid("The type of a schema cannot be changed by a revision")
        revisions.append(_revision(name, schema))
        return revisions[-1].config


def _revision(name: str, schema: Any) -> Revision:
    definition = _definition(schema)
    config = _Schema(name=name, type_=schema.type_, definition=schema.definition, revision_id=uuid.uuid4().hex[:8])
    config.revision_create_time.GetCurrentTime()
    return Revision(config, definition)


def _definition(schema: Any) -> Definition:
    if schema.type_ not in _KINDS:
        raise invalid("The schema has no type; it must be AVRO or PROTOCOL_BUFFER")
    try:
        return _KINDS[schema.type_](schema.definition)
    except InvalidDefinition as exc:
        raise invalid(str(exc)) from exc


def _encoding(encoding: int) -> str:
    if encoding not in _ENCODINGS:
        raise invalid("The encoding of the messages is missing; it must be JSON or BINARY")
    return _ENCODINGS[encoding]


def _fits(definition: Definition, encoding: int, data: bytes) -> None:
    check = definition.check_json if _encoding(encoding) == "JSON" else definition.check_binary
    try:
        check(data)
    except SchemaMismatch as exc:
        raise invalid(f"Invalid data in message: Message failed schema validation: {exc}") from exc


def _first_fit(revisions: list[Revision], encoding: int, data: bytes) -> Revision:
    for each in revisions[:-1]:
        try:
            _fits(each.definition, encoding, data)
        except Refusal:
            continue
        return each
    _fits(revisions[-1].definition, encoding, data)
    return revisions[-1]


def _in_view(config: Any, view: int) -> Any:
    """A schema, in the BASIC view without its definition."""
    if view != _BASIC:
        return config
    basic = _Schema()
    basic.CopyFrom(config)
    basic.ClearField("definition")
    return basic
