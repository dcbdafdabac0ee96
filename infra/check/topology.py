"""Checks topology.yaml against its JSON Schema, and that the names it uses are declared.

It runs in the tools' environment: `python -m infra.check.topology FILE SCHEMA` prints the findings as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator


def check(content: Any, schema: Mapping[str, Any]) -> list[str]:
    """The findings in the file's content. Names are checked only when the schema is satisfied."""
    wrong = [
        f"{'.'.join(map(str, error.absolute_path)) or 'topology.yaml'}: {error.message}"
        for error in sorted(
            Draft202012Validator(schema).iter_errors(content), key=lambda error: list(map(str, error.path))
        )
    ]
    return wrong or list(_dangling(content))


def _dangling(content: Mapping[str, Any]) -> Iterator[str]:
    topics, buckets, subscriptions = content["topics"], content["buckets"], content["subscriptions"]
    named = [(f"subscriptions.{name}.topic", given["topic"], topics) for name, given in subscriptions.items()]
    named += [
        (f"subscriptions.{name}.dead_letter.topic", given["dead_letter"]["topic"], topics)
        for name, given in subscriptions.items()
        if "dead_letter" in given
    ]
    for name, given in content["notifications"].items():
        named.append((f"notifications.{name}.topic", given["topic"], topics))
        named.append((f"notifications.{name}.bucket", given["bucket"], buckets))
    for where, name, known in named:
        if name not in known:
            yield f"{where}: {name!r} is not declared; declared are {', '.join(known)}"
    held = {given["topic"] for given in subscriptions.values()}
    for name in topics:
        if name not in held:
            yield f"topics.{name}: has no subscription, so messages to it would be lost"


def main(file: Path, schema: Path) -> None:
    """Check the file and print the findings."""
    print(json.dumps(check(yaml.safe_load(file.read_text()), json.loads(schema.read_text()))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
