"""The memory budget for large payloads, which are request bodies and objects of buckets, until they are settled.

Small payloads are not counted: one for each thread takes little memory. So they never wait for large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from model.images.memory_budget import MemoryBudget

LARGE_BYTES = 1_000_000
"""Minimum size in bytes of a payload that counts against the budget."""

Reserve = Callable[[int], Callable[[], bool]]
"""Reserves memory for a number of bytes, and may wait. Returns a function that tells whether other payloads wait."""


class PayloadBudget:
    """`capacity` bytes for the large payloads of all threads. A payload above the capacity reserves all of it."""

    def __init__(self, capacity: int) -> None:
        self._budget = MemoryBudget(capacity)

    @contextmanager
    def reservation(self) -> Iterator[Reserve]:
        """Yield a function that reserves memory for a payload until the block ends."""
        with ExitStack() as stack:

            def reserve(size: int) -> Callable[[], bool]:
                stack.enter_context(self.reserve(size))
                return self.is_contended

            yield reserve

    def reserve(self, size: int) -> AbstractContextManager[None]:
        """Reserve memory for a payload of `size` bytes during the block. Raises TimeoutError after a long wait.

        A thread must not nest reservations: two threads that each hold one would wait for each other.
        """
        return self._budget.reserve(size) if size >= LARGE_BYTES else nullcontext()

    def is_contended(self) -> bool:
        """Whether a payload waits for memory."""
        return self._budget.is_contended
