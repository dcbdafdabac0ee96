"""The workload: how many images, at which rate, how large they are and how they travel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from client.gcp import UsageError
from client.transport.gatherer import AUTO_IMAGES, MESSAGE_BYTES

DAY_S = 86_400
MONTH_DAYS = 30
MESSAGE_LIMIT = 10_000_000
"""Bytes of one publish call ("Quotas and limits", Pub/Sub)."""

PEAK_RATIO = 3.0
"""The peak rate divided by the day's mean, where the user gives no peak. An assumption."""

DEFAULT_LABELS = 10
"""Labels of a model where the user gives none: those of the shipped model."""

LINE_BYTES = 120
"""Bytes of the line of an image in a message with several: id, name, and a reference. Its base64 comes on top."""

Carrier = Literal["message", "reference", "upload"]


@dataclass(frozen=True, slots=True)
class Workload:
    """A day of `bursts_per_day` equal bursts from zero. Each runs at `peak_per_s` until its share has been sent.

    `latency_s` is the target: 95 % of a burst's images answered within this many seconds after publishing. `labels`:
    the model's labels, whose scores are counted; 0 without score metrics. `gather`: the images that the client puts
    into a message.
    """

    images_per_day: float
    peak_per_s: float
    bursts_per_day: int
    image_bytes: int
    carrier: Carrier
    latency_s: float
    bigquery: bool = False
    response_store: bool = False
    labels: int = DEFAULT_LABELS
    gather: int = 1

    def __post_init__(self) -> None:
        # The smallest possible peak is the mean; the tolerance allows a rounded one.
        if self.peak_per_s < self.mean_per_s * 0.999:
            raise UsageError(
                f"--peak is {self.peak_per_s:g} images/s; it must be at least the day's mean, {self.mean_per_s:.6g}"
            )
        if self.carrier == "message" and self.image_bytes > MESSAGE_LIMIT:
            raise UsageError(
                f"--size is {self.image_bytes:,} bytes; a message carries at most {MESSAGE_LIMIT:,}: "
                "--carrier must be reference or upload"
            )

        if self.gather > 1 and self.carrier == "upload":
            raise UsageError(
                f"--gather is {self.gather}; each upload has a notification of its own: --carrier must be message or "
                "reference"
            )

    @property
    def images_per_message(self) -> int:
        """Images of a message: `gather`, or those that fit."""
        return max(1, min(self.gather, MESSAGE_BYTES // self.line_bytes))

    def gathered_otherwise(self) -> Workload | None:
        """Return the load with AUTO_IMAGES images in a message, or with one if this has several.

        None where images cannot be gathered, or are so large that a message has one either way.
        """
        if self.carrier == "upload":
            return None
        other = replace(self, gather=1 if self.images_per_message > 1 else AUTO_IMAGES)
        return other if other.images_per_message != self.images_per_message else None

    @property
    def line_bytes(self) -> int:
        """Bytes of an image among others in a message."""
        return LINE_BYTES + (ceil(self.image_bytes / 3) * 4 if self.carrier == "message" else 0)

    @property
    def mean_per_s(self) -> float:
        """Images per second, averaged over the day."""
        return self.images_per_day / DAY_S

    @property
    def period_s(self) -> float:
        """Seconds from the start of one burst to the start of the next."""
        return DAY_S / self.bursts_per_day

    @property
    def burst_s(self) -> float:
        """Seconds of a burst."""
        return min(self.period_s, self.images_per_day / self.bursts_per_day / self.peak_per_s)

    @property
    def images_per_month(self) -> float:
        return self.images_per_day * MONTH_DAYS

    @property
    def busy_s_per_month(self) -> float:
        """Seconds of a month during which images arrive."""
        return self.burst_s * self.bursts_per_day * MONTH_DAYS


def usual_peak(images_per_day: float) -> float:
    """Return the peak in images/s where the user gives none: PEAK_RATIO times the mean, and at least one."""
    return max(1.0, PEAK_RATIO * images_per_day / DAY_S)
