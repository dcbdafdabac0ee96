"""The state of a job in the Python API: how many images were sent, answered, or are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from client.jobs.description import State, describe
from client.jobs.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The state of a job at one moment, and its numbers of images.

    - `job`: the job's id; `created_at`: when it was made, in UTC.
    - `state`: `running` while a process sends or receives for the job, `complete`, `cancelled`, `interrupted` when
      images are not sent and nobody sends them, or `waiting` when all images are sent and responses are missing.
    - `images`: the images that are known; `all_images_known` is False while a bucket's listing is read.
    - `sent`: the images that have left this machine; `not_sent`: the others, of which `failed` could not be sent.
    - `answered`: the images with a response; `ok`: those with predictions; `errors`: error responses by their code.
    - `missing`: the images that were sent and have no response, of which `expired` had a time limit that is over.
    """

    job: str
    state: State
    created_at: datetime
    images: int
    all_images_known: bool
    sent: int
    not_sent: int
    failed: int
    answered: int
    ok: int
    errors: Mapping[str, int]
    missing: int
    expired: int

    @property
    def complete(self) -> bool:
        """Whether every image was sent and has a response, be it an error."""
        return self.all_images_known and not self.not_sent and not self.missing

    @classmethod
    def of(cls, job: Job) -> JobStatus:
        """Return the state of a job of the store. Raises StoreError."""
        found = describe(job)
        values = {name: found[name] for name in cls.__dataclass_fields__}
        return cls(**values | {"created_at": datetime.fromisoformat(found["created_at"])})
