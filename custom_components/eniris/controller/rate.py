"""`RateLimit`: how many messages of a controller are worked on."""

import time
from typing import Final

PER_SECOND: Final = 20


class RateLimit:
    """Allows twenty messages a second, so that a flood costs no more than that."""

    def __init__(self) -> None:
        """Begin with all that a second allows."""
        self._second = 0
        self._taken = 0
        self.refused = 0

    def allows(self) -> bool:
        """Return whether one more may be worked on now."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        if self._taken >= PER_SECOND:
            self.refused += 1
            return False
        self._taken += 1
        return True
