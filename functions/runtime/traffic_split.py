"""Which alias of a model a request gets: the same one at each delivery, in every worker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def side_of(request_id: str, canaries: Mapping[str, float]) -> str | None:
    """The canary that gets the request, or None for the served alias.

    `canaries` has the percentage of each by name, in one order in all workers. The hash of the request_id decides, so a
    redelivery gets the same side, and a request that a canary gets at 5 % it also gets at 10 %.
    """
    place = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]) / 2**64 * 100
    for name, percent in canaries.items():
        if place < percent:
            return name
        place -= percent
    return None
