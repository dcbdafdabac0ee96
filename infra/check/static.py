"""Checks the *.tf files against the providers' schemas: all findings at once, with their place and a suggestion.

It also knows the allowed values of an argument, which `terraform validate` leaves to the real provider. It runs in the
tools' environment: `python -m infra.check.static SCHEMA... -- FOLDER...` prints the findings by folder as JSON.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hcl2

_META = {"count", "for_each", "provider", "depends_on", "lifecycle", "provisioner", "connection"}
_PLACES = ("project", "region", "location")
_REFERENCE = re.compile(r"(?<![\w.\"-])(data\.)?(google_\w+)\.([A-Za-z_][\w-]*)(?:\[[^\]]*\])?(?:\.(\w+))?")
_INTERPOLATION = re.compile(r"\$\{(.*)\}", re.S)

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource or data source in a file. `kind` is `resource` or `data`."""

    file: str
    kind: str
    type: str
    name: str
    body: Block


def check(folder: Path, schemas: Mapping[str, Mapping[str, Block]]) -> list[str]:
    """The findings in the folder's *.tf files; `schemas`: by version and provider, as schema.py returns them.

    A finding that not all versions share ends with the versions that it concerns.
    """
    findings: list[str] = []
    entries: list[Entry] = []
    used: dict[str, set[tuple[str, ...]]] = {}
    files = sorted(folder.glob("*.tf"))
    for path in files:
        try:
            document = hcl2.loads(path.read_text())
        except Exception as exc:  # the parser raises several kinds
            findings.append(f"{path.name}: does not parse: {str(exc).splitlines()[0]}")
            continue
        used[path.name] = {found for text in _expressions(document) for found in _REFERENCE.findall(text)}
        entries.extend(_entries(path.name, document))
    found: dict[str, list[str]] = {}
    for version, providers in schemas.items():
        for finding in _entries_findings(entries, providers):
            found.setdefault(finding, []).append(version)
        # The declarations of a file with syntax errors are unknown, so every use of them would be a finding.
        for finding in _references(used, entries, providers) if len(used) == len(files) else ():
            found.setdefault(finding, []).append(version)
    return findings + [
        finding if len(versions) == len(schemas) else f"{finding} (google {', '.join(versions)})"
        for finding, versions in found.items()
    ]


def _entries_findings(entries: Iterable[Entry], providers: Mapping[str, Block]) -> Iterator[str]:
    """Yield the findings in resources and data sources with the schemas of one version, by provider."""
    for entry in entries:
        provider = str(entry.body.get("provider", "google")).strip('"').removeprefix("${").removesuffix("}")
        types = providers.get(provider, {}).get(entry.kind, {})
        where = f"{entry.file}: {entry.type}.{entry.name}"
        if entry.type not in types:
            yield _unknown(where, f"{entry.kind} type of {provider}", entry.type, types)
            continue
        written = {k: v for k, v in _items(entry.body) if k not in _META}
        yield from _block(where, types[entry.type], written)
        # These are optional in the schema, because the provider has its own defaults; no provider block sets any.
        known = types[entry.type]["attributes"]
        lacking = [name for name in _PLACES if name in known and known[name]["optional"] and name not in written]
        yield from (f"{where}: '{name}' is missing, and no provider block sets it" for name in lacking)


def _entries(file: str, document: Block) -> Iterator[Entry]:
    for kind in ("resource", "data"):
        for labelled in document.get(kind, []):
            for type_, named in _items(labelled):
                for name, body in _items(named):
                    yield Entry(file, kind, type_, name, body)


def _items(body: Block) -> Iterator[tuple[str, Any]]:
    """The items of a body, without the parser's metadata and quotes."""
    return ((key.strip('"'), value) for key, value in body.items() if not key.startswith("__"))


def _block(where: str, schema: Block, body: Block) -> Iterator[str]:
    attributes, blocks = schema["attributes"], schema["block_types"]
    written = dict(_items(body))
    dynamic: dict[str, list[Any]] = {}
    for labelled in written.pop("dynamic", []):
        for name, given in _items(labelled):
            dynamic.setdefault(name, []).extend(given.get("content", []))
    for name, contents in dynamic.items():
        if name in blocks:
            for content in contents:
                yield from _block(f"{where}.{name}", blocks[name]["block"], content)
        else:
            yield _unknown(where, "block", name, blocks)
    for name, value in written.items():
        if name in blocks:
            yield from _nested(where, name, blocks[name], value)
        elif name in attributes:
            yield from _argument(where, name, attributes[name], value)
        else:
            yield _unknown(where, "block" if _is_block(value) else "argument", name, [*attributes, *blocks])
    present = {*written, *dynamic}
    needed = [n for n, a in attributes.items() if a["required"]] + [n for n, b in blocks.items() if b["min"]]
    yield from (f"{where}: '{name}' is missing" for name in needed if name not in present)


def _nested(where: str, name: str, schema: Block, value: Any) -> Iterator[str]:
    if not _is_block(value):
        yield f"{where}: '{name}' is a block: write '{name} {{ ... }}', without '='"
        return
    if schema["max"] and len(value) > schema["max"]:
        yield f"{where}: at most {schema['max']} '{name}' blocks are allowed"
    for inner in value:
        yield from _block(f"{where}.{name}", schema["block"], inner)


def _argument(where: str, name: str, schema: Block, value: Any) -> Iterator[str]:
    literal = isinstance(value, str) and value.startswith('"') and "${" not in value
    allowed = schema.get("values")
    if _is_block(value):
        yield f"{where}: '{name}' is an argument: write '{name} = ...'"
    elif not schema["required"] and not schema["optional"]:
        yield f"{where}: '{name}' is set by the provider and cannot be configured"
    elif allowed and literal and value.strip('"') not in allowed:
        yield _unknown(where, f"value of '{name}'", value.strip('"'), allowed)
    elif isinstance(value, (list, dict)) and isinstance(schema["type"], str):
        yield f"{where}: '{name}' takes one {schema['type']}"
    elif schema["type"] in ("number", "bool") and literal:
        yield f"{where}: '{name}' takes a {schema['type']}, not a string"


def _expressions(value: Any) -> Iterator[str]:
    """Yield every expression in a document, including interpolations in strings."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)
    elif isinstance(value, str):
        yield from _INTERPOLATION.findall(value)


def _references(
    used: Mapping[str, set[tuple[str, ...]]], entries: Iterable[Entry], schemas: Mapping[str, Block]
) -> Iterator[str]:
    declared = {(entry.kind, entry.type, entry.name) for entry in entries}
    for file, references in used.items():
        for data, type_, name, attribute in sorted(references):
            kind = "data" if data else "resource"
            block = next((types[kind][type_] for types in schemas.values() if type_ in types[kind]), None)
            if (kind, type_, name) not in declared:
                yield f"{file}: {kind} {type_}.{name} is used but not declared"
            elif block and attribute and attribute not in (known := {**block["attributes"], **block["block_types"]}):
                yield _unknown(file, f"attribute of {type_}.{name}", attribute, known)


def _is_block(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) and "__is_block__" in each for each in value)


def _unknown(where: str, what: str, name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"{where}: unknown {what}: '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")


def main(arguments: list[str]) -> None:
    """Check the folders and print `{folder: [finding, ...]}`."""
    cut = arguments.index("--")
    schemas: dict[str, dict[str, Block]] = {}
    for file in arguments[:cut]:
        schema = json.loads(Path(file).read_text())
        schemas.setdefault(schema["version"], {})[schema["name"]] = schema
    print(json.dumps({folder: check(Path(folder), schemas) for folder in arguments[cut + 1 :]}))


if __name__ == "__main__":
    main(sys.argv[1:])
