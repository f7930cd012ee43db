"""What is left of the budget for telemetry queries, as the answers of all callers tell."""

import time

from .telemetry import QueryCost


class Budget:
    """A leaky bucket, seen from outside: it holds what leaks out of it in a minute."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._per_minute: float | None = None
        self._remaining = 0.0
        self._at = 0.0

    @property
    def per_minute(self) -> float | None:
        """Tokens that the budget gives a minute, and holds; None where no limit is known."""
        return self._per_minute

    @property
    def remaining(self) -> float | None:
        """Tokens that can be spent at present; None where no limit is known."""
        if self._per_minute is None:
            return None
        leaked = (time.monotonic() - self._at) * self._per_minute / 60
        return min(self._per_minute, self._remaining + leaked)

    def note(self, cost: QueryCost) -> None:
        """Adopt what an answer says of the bucket."""
        if cost.remaining is None or cost.used is None:
            self._per_minute = None
            return
        per_minute = cost.remaining + cost.used
        self._per_minute = per_minute if per_minute > 0 else None
        self._remaining = cost.remaining
        self._at = time.monotonic()
