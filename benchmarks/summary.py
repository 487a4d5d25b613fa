"""Medians with quartiles, which is all the statistics that these measurements bear."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Summary:
    """The middle of some samples, and the quartiles around it."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        """Summarise samples, one or more."""
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0])
        lower, _, upper = quantiles(samples, n=4, method="inclusive")
        return cls(median(samples), lower, upper)


def ratios(samples: Sequence[float], limits: Sequence[float]) -> Summary:
    """Summarise the ratios of two things that were measured in the same rounds."""
    return Summary.of([sample / limit for sample, limit in zip(samples, limits, strict=True)])


def differences(samples: Sequence[float], floors: Sequence[float]) -> Summary:
    """Summarise the differences of two things that were measured in the same rounds."""
    return Summary.of([sample - floor for sample, floor in zip(samples, floors, strict=True)])


def rotated(length: int, round_number: int) -> Iterator[int]:
    """Yield the positions of so many things, beginning with another one each round, and backwards every other round.

    So nothing always runs first, nor always after the same neighbour.
    """
    step = -1 if round_number % 2 else 1
    for place in range(length):
        yield (round_number + step * place) % length
