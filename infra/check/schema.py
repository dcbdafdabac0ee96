"""Reads a provider's schema from a package of generated code, without the provider or a registry.

The package contains compiled JavaScript with source maps of TypeScript code, which names every argument with its flags
and type. Standard library only. fake_provider.py serves this schema, and static.py checks the files with it.
"""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# `{"name": provider, "version": its version, "resource": {type: block}, "data": {type: block}, "provider": block}`; a
# block is `{"attributes": {name: {"type", "required", "optional", "computed", "values"}}, "block_types": {name:
# {"nesting", "min", "max", "block"}}}`, types as Terraform writes them in JSON.
Document = dict[str, Any]

_SOURCE_MAP = re.compile(r"sourceMappingURL=data:application/json;base64,(\S+)")
_CLASS = re.compile(r"export class (\w+) extends [\w.]+ \{(.*?)\n\}", re.S)
_FIELD = re.compile(
    r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=\n  // \w+ - computed:|\Z)", re.S
)
_TABLE = re.compile(r"(?:function (\w+)ToHclTerraform|synthesizeHclAttributes)\(.*?const attrs = \{(.*?)\n +\};", re.S)
_ROW = re.compile(r'(\w+): \{\s+value: .*?type: "(\w+)",\s+storageClassType: "([\w.]+)"', re.S)
_NESTED = re.compile(r'new (\w+?)(OutputReference|List|Map)\(this, "\w+"(?:, (true|false))?\)')
_GETTER = re.compile(
    r"get(String|Number|Boolean|Any)(Map|List)?Attribute|new cdktf\.(String|Number|Boolean|Any)(Map|List)\("
)
_INTERFACE = re.compile(r"export interface (\w+) .*?\{(.*?)\n\}", re.S)
_COMMENT = re.compile(r"/\*\*(.*?)\*/", re.S)
_VALUES = re.compile(r"Possible values: \[(.*?)\]", re.S)
_ANCHOR = re.compile(r"\{@link \S+#(\w+) ")
_PRIMITIVES = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}


def read(wheel: Path, wanted: Iterable[str]) -> Document:
    """The schema of the provider, and of those `wanted` types (`google_x`, `data.google_x`) that it has."""
    folders = {_folder(name): name for name in wanted}
    texts: dict[str, list[str]] = defaultdict(list)
    document: Document = {"resource": {}, "data": {}, "provider": {}}
    with zipfile.ZipFile(wheel) as packed:
        inner = next(name for name in packed.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(packed.read(inner))) as archive:
            for member in archive:
                if member.name == "package/package.json":
                    document |= _provider(archive.extractfile(member))
                # package/lib/FOLDER/FILE.js; google-beta prefixes every folder with google-
                parts = member.name.split("/")
                if len(parts) != 4 or not member.name.endswith(".js"):
                    continue
                folder = re.sub(r"^(data-)?google-", lambda m: m[1] or "", parts[2])
                file = archive.extractfile(member) if folder in folders or folder == "provider" else None
                if file is not None:
                    texts[folder].append(_typescript(file.read().decode()))
    for folder, parts in texts.items():
        block = _Reader.of("\n".join(parts)).top()
        if folder == "provider":
            document["provider"] = block
        else:
            kind, name = ("data", folders[folder][5:]) if folder.startswith("data-") else ("resource", folders[folder])
            document[kind][name] = block
    return document


def _provider(package: IO[bytes] | None) -> dict[str, str]:
    """The provider's name and version. The package states them under its generator: CDKTF, or CDK Terrain since."""
    stated = json.load(package) if package else {}
    provider = (stated.get("cdktn") or stated["cdktf"])["provider"]
    return {"name": provider["name"].rpartition("/")[2], "version": provider["version"]}


def _folder(name: str) -> str:
    return re.sub(r"^(data\.)?google_", lambda found: "data-" if found[1] else "", name).replace("_", "-")


def _typescript(javascript: str) -> str:
    found = _SOURCE_MAP.search(javascript)
    return "\n".join(json.loads(base64.b64decode(found[1]))["sourcesContent"]) if found else ""


@dataclass(frozen=True, slots=True)
class _Reader:
    """One resource's TypeScript: class bodies by class; types and allowed values by owner (lower case) and argument."""

    classes: dict[str, str]
    types: dict[tuple[str, str], tuple[str, str]]
    values: dict[tuple[str, str], list[str]]

    @classmethod
    def of(cls, text: str) -> _Reader:
        return cls(
            {found[1]: found[2] for found in _CLASS.finditer(text)},
            {
                ((table[1] or "").lower(), row[1]): (row[2], row[3])
                for table in _TABLE.finditer(text)
                for row in _ROW.finditer(table[2])
            },
            {
                (interface[1].lower(), anchor[1]): re.findall(r'"([^"]+)"', values[1])
                for interface in _INTERFACE.finditer(text)
                for comment in _COMMENT.finditer(interface[2])
                if (values := _VALUES.search(comment[1])) and (anchor := _ANCHOR.search(comment[1]))
            },
        )

    def top(self) -> Document:
        """The block of the resource itself."""
        name = next(name for name, body in self.classes.items() if "tfResourceType" in body)
        return self._block(name, types_of="", values_of=f"{name}config".lower())

    def _block(self, class_name: str, types_of: str, values_of: str) -> Document:
        attributes: Document = {}
        blocks: Document = {}
        for field in _FIELD.finditer(self.classes[class_name]):
            key, text = field[1], field[5]
            computed, optional, required = (flag == "true" for flag in field.group(2, 3, 4))
            kind, storage = self.types.get((types_of, key), ("", ""))
            nested = _NESTED.search(text)
            if nested and f"{nested[1]}OutputReference" in self.classes:
                owner = nested[1].lower()
                inner = self._block(f"{nested[1]}OutputReference", owner, owner)
                nesting = "single" if kind == "struct" else kind or ("set" if nested[3] == "true" else "list")
                if not computed:
                    one = nested[2] == "OutputReference" and nesting != "single"
                    blocks[key] = {"nesting": nesting, "min": int(required), "max": int(one), "block": inner}
                    continue
                type_: Any = [nesting, _object(inner)]
            else:
                type_ = _type(kind, storage, text)
            attributes[key] = {"type": type_, "required": required, "optional": optional, "computed": computed}
            if (values_of, key) in self.values:
                attributes[key]["values"] = self.values[values_of, key]
        return {"attributes": attributes, "block_types": blocks}


def _type(kind: str, storage: str, getter: str) -> Any:
    """An attribute's type: from its row in the table, or from its getter when only the provider sets it."""
    if kind in ("list", "set", "map"):
        element = re.sub(r"(List|Set|Map)$", "", storage).lower()
        return [kind, _PRIMITIVES.get(element, "string")]
    found = _GETTER.search(getter)
    if found:
        primitive, collection = found[1] or found[3], found[2] or found[4]
        return [collection.lower(), _PRIMITIVES[primitive.lower()]] if collection else _PRIMITIVES[primitive.lower()]
    return ["set" if "Fn.tolist" in getter else "list", "string"]


def _object(block: Document) -> list[Any]:
    """The type of a block's values."""
    fields = {key: attribute["type"] for key, attribute in block["attributes"].items()}
    fields |= {
        key: _object(nested["block"])
        if nested["nesting"] == "single"
        else [nested["nesting"], _object(nested["block"])]
        for key, nested in block["block_types"].items()
    }
    return ["object", fields]
