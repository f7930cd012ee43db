"""The service's clock, as far as the dates of its answers can be believed."""

from datetime import datetime, timedelta
import time
from typing import Final

from homeassistant.util import dt as dt_util

_IN_STEP: Final = 60
"""Seconds by which our clock may differ from the service's without being wrong."""

_STEADY: Final = 30
_ODD_DATES: Final = 5
_RIGHT_DATES: Final = 2
"""Dates in step after which our clock, which was wrong, is right again."""


class ServiceClock:
    """Follows our clock, or the service's where the two differ by the same time again and again.

    Times are in Unix seconds. One date that is odd, in either direction, changes nothing.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.is_sure = False
        """Whether the last answer was dated as expected, or not at all and none was odd before."""
        self.offset = 0
        """By how much the service's clock is ahead of ours, zero while they are in step."""
        self._odd: list[int] = []
        self._set_at: float | None = None
        self._late = 0

    @property
    def may_be_behind(self) -> bool:
        """Whether the last answers were dated later than expected, since our clock was set, or from the beginning.

        Dates that go on being odd, each in its way, are believed no more than one odd date.
        """
        return 0 < self._late <= _ODD_DATES

    def time(self, now: datetime) -> int:
        """Return the service's time when it is `now` by our clock."""
        return int(now.timestamp()) + self.offset

    def now(self) -> datetime:
        """Return the service's time, to the fraction of a second that our clock has."""
        return dt_util.utcnow() + timedelta(seconds=self.offset)

    def note(self, now: datetime, told: datetime | None) -> int:
        """Note the date of an answer that came at `now`; return the time there, rather too early than too late."""
        if told is None:
            self.is_sure = self.is_sure or not self._odd
            return self.time(now)
        offset = int(told.timestamp()) - int(now.timestamp())
        set_at = now.timestamp() - time.monotonic()
        if abs(offset - self.offset) <= _IN_STEP:
            self._set_at = set_at
        was_set = self._set_at is None or abs(set_at - self._set_at) > _STEADY
        is_late = was_set and offset - self.offset > _IN_STEP
        self._late = self._late + 1 if is_late else 0
        is_in_step = abs(offset) <= _IN_STEP
        if abs(offset - self.offset) <= (_STEADY if self.offset else _IN_STEP):
            self._odd = []
        elif self._odd and abs(offset - self._odd[0]) <= _STEADY:
            self._odd.append(offset)
        else:
            self._odd = [offset]
        if len(self._odd) >= (_RIGHT_DATES if is_in_step else _ODD_DATES):
            self.offset, self._odd = 0 if is_in_step else offset, []
        self.is_sure = abs(offset - self.offset) <= _IN_STEP
        return min(self.time(now), int(told.timestamp()))
