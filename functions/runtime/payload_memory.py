"""The memory budget for large payloads: request bodies and objects, from arrival until they are settled.

Small payloads are not counted: as many as there are threads take little, and they never wait for large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from model.images.memory_budget import MemoryBudget

LARGE_BYTES = 1_000_000
"""Payloads from this size on are counted."""


Reserve = Callable[[int], Callable[[], bool]]
"""Reserves memory for so many bytes, and may wait. Returns a function: whether other payloads wait for memory."""


class Payloads:
    """`capacity` bytes for the large payloads of all threads. A payload larger than that waits until it is alone."""

    def __init__(self, capacity: int) -> None:
        self._budget = MemoryBudget(capacity)

    @contextmanager
    def reservation(self) -> Iterator[Reserve]:
        """A function that reserves memory for a payload until the block ends."""
        with ExitStack() as stack:

            def reserve(size: int) -> Callable[[], bool]:
                stack.enter_context(self.held(size))
                return self.is_wanted

            yield reserve

    def held(self, size: int) -> AbstractContextManager[None]:
        """Hold memory for a payload of `size` bytes during the block. Raises TimeoutError after a long wait.

        A thread never holds two: one that waits for its second would keep its first from the others.
        """
        return self._budget.reserve(size) if size >= LARGE_BYTES else nullcontext()

    def is_wanted(self) -> bool:
        """Whether a payload waits for memory."""
        return self._budget.is_wanted
