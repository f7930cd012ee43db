"""How often the account can be polled within its budget.

Source: the API page. The bucket holds what leaks out of it in a minute, and every answer tells what
it cost, what remains and what is used.
"""

from datetime import timedelta
import math
from typing import Final

from ...api import QueryCost

SHARE: Final = 0.8
"""The part of the budget that is used, so that somebody else's requests have room."""


class PollRate:
    """The interval in force, which is the one that was asked for unless the budget is too small."""

    def __init__(self, wanted: timedelta) -> None:
        """Poll every `wanted` if the budget allows it."""
        self.wanted = wanted
        self.between_polls = wanted
        self.parts = 1
        """Polls that it takes to read everything once."""
        self.cost: float | None = None
        """Tokens of the last poll, None where the service does not say."""
        self.remaining: float | None = None
        """Tokens that were left after it."""
        self.per_minute: float | None = None
        """Tokens that the budget gives a minute, and holds; None where it has no limit."""

    @property
    def interval(self) -> timedelta:
        """How often each value is read."""
        return self.between_polls * self.parts

    @property
    def is_slowed(self) -> bool:
        """Whether the budget is too small for the interval that was asked for."""
        return self.interval > self.wanted

    @property
    def cost_per_minute(self) -> float | None:
        """Tokens a minute at the interval in force."""
        if self.cost is None:
            return None
        return self.cost * 60 / self.between_polls.total_seconds()

    def fits(self, cost: float) -> bool:
        """Tell whether a single poll of so many tokens is within the budget."""
        if math.isinf(cost):
            return False
        return self.per_minute is None or cost <= self.per_minute * SHARE

    def note(self, cost: QueryCost, parts: int = 1) -> None:
        """Adopt the cost of a poll that read one of `parts`, and slow down as far as it takes."""
        self.cost = cost.cost
        self.remaining = cost.remaining
        self.parts = parts
        self.between_polls = self.wanted
        self.per_minute = None
        if cost.cost is None or cost.remaining is None or cost.used is None:
            return
        per_minute = cost.remaining + cost.used
        if per_minute <= 0:
            return
        self.per_minute = per_minute
        sustained = 60 * cost.cost / (per_minute * SHARE)
        until_next_fits = 60 * (cost.cost - cost.remaining) / per_minute
        needed = math.ceil(max(sustained, until_next_fits))
        self.between_polls = max(self.wanted, timedelta(seconds=needed))
