"""Field masks: change some fields of a topic or a subscription and keep the others."""

from __future__ import annotations

from typing import Any

from infra.local.pubsub.refusal import invalid


def merged(current: Any, update: Any, mask: Any, *, immutable: frozenset[str]) -> Any:
    """A copy of `current` with the fields of `mask` from `update`. Refuses an invalid mask with INVALID_ARGUMENT."""
    if not mask.paths:
        raise invalid("The update_mask must be set, and must contain a non-empty paths list")
    kind = current.DESCRIPTOR.name
    for path in mask.paths:
        field = path.partition(".")[0]
        if field not in current.DESCRIPTOR.fields_by_name:
            raise invalid(f"Invalid update_mask: '{path}' is not a known {kind} field; names have the form push_config")
        if field in immutable:
            raise invalid(f"Invalid update_mask: the '{field}' field in the {kind} is not mutable")
    changed = type(current)()
    changed.CopyFrom(current)
    try:
        mask.MergeMessage(update, changed, replace_message_field=True, replace_repeated_field=True)
    except ValueError as exc:
        raise invalid(f"Invalid update_mask: {exc}") from exc
    return changed
