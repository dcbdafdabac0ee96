"""Documents of the XML API."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree  # nosec B405  # expat has refused entity bombs since 2.4.1, and loads no external entities

from infra.local.storage.answer import Answer

_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def document(tag: str, children: Iterable[ElementTree.Element] = (), /, **fields: str) -> Answer:
    """The response with a document: its fields, then its further elements."""
    root = element(tag, **fields)
    root.set("xmlns", _SPACE)
    root.extend(children)
    return Answer(
        ElementTree.tostring(root, "utf-8", xml_declaration=True), headers={"Content-Type": "application/xml"}
    )


def element(tag: str, /, **fields: str) -> ElementTree.Element:
    """An element with one element for each field."""
    found = ElementTree.Element(tag)
    for name, value in fields.items():
        ElementTree.SubElement(found, name).text = value
    return found
