"""A job as a whole: whether its images are known, whether it was cancelled, and which command works on it."""

from __future__ import annotations

import time
from typing import Any

from client.jobs.database import Database
from client.jobs.holder import HELD_S, has_ended, this_process
from client.text import StoreError


class HeldJob:
    """The row of a job in the store, which one command at a time holds. See Job."""

    def __init__(self, database: Database, job_id: str) -> None:
        self._database, self.id = database, job_id

    @property
    def is_listed(self) -> bool:
        """Whether all images of the job are known."""
        return bool(self._row("is_listed")[0])

    @property
    def is_cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return bool(self._row("is_cancelled")[0])

    def cancel(self) -> None:
        """Mark the job as cancelled: what is not sent stays unsent."""
        with self._database.transaction() as database:
            database.execute("UPDATE jobs SET is_cancelled = 1 WHERE id = ?", (self.id,))

    def hold(self) -> bool:
        """Take or renew the job for this command. Returns False while another command holds it."""
        now = time.time()
        with self._database.transaction() as database:
            holder, until = self._row("holder, held_until")
            if holder not in ("", this_process()) and until > now and not has_ended(holder):
                return False
            database.execute(
                "UPDATE jobs SET holder = ?, held_until = ? WHERE id = ?", (this_process(), now + HELD_S, self.id)
            )
        return True

    def is_held(self) -> bool:
        """Whether a command sends the job's images or receives its responses."""
        holder, until = self._row("holder, held_until")
        return holder != "" and until > time.time() and not has_ended(holder)

    def held_by(self) -> str:
        """Return who holds the job, for a message."""
        return "another command"

    def release(self) -> None:
        """Let another command take the job."""
        with self._database.transaction() as database:
            database.execute(
                "UPDATE jobs SET holder = '', held_until = 0 WHERE id = ? AND holder = ?", (self.id, this_process())
            )

    def _row(self, columns: str) -> tuple[Any, ...]:
        for row in self._database.rows(f"SELECT {columns} FROM jobs WHERE id = ?", self.id):  # nosec B608
            return tuple(row)
        raise StoreError(f"job {self.id} was removed from the job store")
