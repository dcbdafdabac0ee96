"""Limits of what a caller may write: attributes and sizes of a published message, and labels of resources."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from infra.local.pubsub.refusal import invalid

# Bytes of one publish request, and of the data and attributes of one message.
PUBLISH_LIMIT = 10_000_000

# Bytes of an ordering key.
_ORDERING_KEY_LIMIT = 1024

# Attributes of a message, and bytes of their keys and values.
_ATTRIBUTES, _KEY_LIMIT, _VALUE_LIMIT = 100, 256, 1024

# Google reserves the prefix goog. Its own client libraries publish attributes with googclient_, such as trace contexts.
_RESERVED = re.compile("goog(?!client_)")

# Labels of a resource, and characters of their keys and values.
_LABELS, _LABEL_LENGTH = 64, 63


def check_message(message: Any) -> None:
    """Refuse a PubsubMessage of a publisher that is empty or exceeds a limit of the cloud."""
    attributes = message.attributes
    size = len(message.data)
    if not size and not attributes:
        raise invalid("A message is empty; it must have data or at least one attribute")
    if len(attributes) > _ATTRIBUTES:
        raise invalid(f"A message has {len(attributes)} attributes; at most {_ATTRIBUTES} are allowed")
    for key, value in attributes.items():
        key_size, value_size = len(key.encode()), len(value.encode())
        if not 1 <= key_size <= _KEY_LIMIT:
            raise invalid(f"An attribute key has {key_size} bytes ({key[:40]}); it must have 1 to {_KEY_LIMIT}")
        if _RESERVED.match(key):
            raise invalid(f"The attribute key {key} starts with goog, which is reserved; choose another key")
        if value_size > _VALUE_LIMIT:
            raise invalid(f"The value of attribute {key} has {value_size} bytes; at most {_VALUE_LIMIT} are allowed")
        size += key_size + value_size
    if size > PUBLISH_LIMIT:
        raise invalid(f"A message has {size} bytes of data and attributes; at most {PUBLISH_LIMIT} are allowed")
    if len(message.ordering_key.encode()) > _ORDERING_KEY_LIMIT:
        raise invalid(f"An ordering key is longer than {_ORDERING_KEY_LIMIT} bytes")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that the cloud does not accept (source: Google Cloud, "Requirements for labels")."""
    if len(labels) > _LABELS:
        raise invalid(f"There are {len(labels)} labels; at most {_LABELS} are allowed")
    for key, value in labels.items():
        if not key or not _is_lowercase(key[0]) or not _is_label(key):
            raise invalid(
                f"Invalid label key ({key[:80]}). It must start with a lowercase character and have 1 to "
                f"{_LABEL_LENGTH} lowercase characters, digits, dashes and underscores"
            )
        if not _is_label(value):
            raise invalid(
                f"Invalid value of label {key} ({value[:80]}). It must have at most {_LABEL_LENGTH} lowercase "
                "characters, digits, dashes and underscores"
            )


def _is_label(text: str) -> bool:
    return len(text) <= _LABEL_LENGTH and all(each in "-_" or each.isnumeric() or _is_lowercase(each) for each in text)


def _is_lowercase(character: str) -> bool:
    """Whether a character is lowercase, or belongs to a script without cases."""
    return unicodedata.category(character) in ("Ll", "Lo")
