"""What is to be answered: how many images, how fast they come, how large they are and how they travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from client.gcp import UsageError

DAY_S = 86_400
MONTH_DAYS = 30
MOST_A_DAY = 1_000_000_000
MESSAGE_LIMIT = 10_000_000
"""Bytes of one publish ("Quotas and limits", Pub/Sub)."""

PEAK = 3.0
"""How many times the day's mean the peak is, where nobody says."""

Carrier = Literal["message", "reference", "upload"]
CARRIERS: tuple[Carrier, ...] = ("message", "reference", "upload")


@dataclass(frozen=True, slots=True)
class Load:
    """A day of `bursts_per_day` equal bursts from zero, each at `peak_per_s` until its share of the images has come.

    `latency_s` is the wish: 95 % of a burst's images answered within so many seconds of their publishing.
    """

    images_per_day: float
    peak_per_s: float
    bursts_per_day: int
    image_bytes: int
    carrier: Carrier
    latency_s: float
    bigquery: bool = False

    def __post_init__(self) -> None:
        # The least peak is the mean; a rounded one is as good.
        if self.peak_per_s < self.mean_per_s * 0.999:
            raise UsageError(
                f"--peak is {self.peak_per_s:g} images/s; it must be at least the day's mean, {self.mean_per_s:.6g}"
            )
        if self.carrier == "message" and self.image_bytes > MESSAGE_LIMIT:
            raise UsageError(
                f"--size is {self.image_bytes:,} bytes; a message carries at most {MESSAGE_LIMIT:,}: "
                "--carrier must be reference or upload"
            )

    @property
    def mean_per_s(self) -> float:
        """Images a second over the whole day."""
        return self.images_per_day / DAY_S

    @property
    def period_s(self) -> float:
        """Seconds from the begin of one burst to the begin of the next."""
        return DAY_S / self.bursts_per_day

    @property
    def burst_s(self) -> float:
        """Seconds in which images come."""
        return min(self.period_s, self.images_per_day / self.bursts_per_day / self.peak_per_s)

    @property
    def images_per_month(self) -> float:
        return self.images_per_day * MONTH_DAYS

    @property
    def busy_s_per_month(self) -> float:
        """Seconds of a month in which images come."""
        return self.burst_s * self.bursts_per_day * MONTH_DAYS


def usual_peak(images_per_day: float) -> float:
    """The peak to reckon with where nobody says: three times the mean, and one image a second at least."""
    return max(1.0, PEAK * images_per_day / DAY_S)
