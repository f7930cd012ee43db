"""The leaky bucket in front of telemetry queries."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
import math

from .errors import ApiError

# Tokens that leak away per minute, which is also what the bucket holds; None for no limit
TIERS: dict[str, float | None] = {
    "free": 100.0,
    "basic": 6_000.0,
    "premium": 60_000.0,
    "unlimited": None,
}

IGNORED_BEFORE_BAN = 10
IGNORED_WITHIN_S = 60
BAN_S = 300

COST_PER_REQUEST = 0.5
COST_PER_QUERY = 0.1
COST_PER_SHARD = 0.05
DATAPOINTS_PER_TOKEN = 20_000


@dataclass(frozen=True, slots=True)
class QueryEstimate:
    """What one query is expected to touch: values, and shards of one day each."""

    datapoints: int
    shards: int


def request_cost(estimates: list[QueryEstimate]) -> float:
    """Return the tokens that a request costs.

    The service tells only what a cost grows with; the weights are the simulator's own: half a token per request, a
    tenth per query, a twentieth per day that a query's range touches, and one per 20,000 estimated datapoints. Polling
    a home of six nodes with 14 queries, each over five minutes of a one-second series with ten fields, costs about
    five tokens; one query without a range, of one field of such a series, costs well over a thousand.
    """
    return round(
        COST_PER_REQUEST
        + sum(
            COST_PER_QUERY
            + COST_PER_SHARD * estimate.shards
            + estimate.datapoints / DATAPOINTS_PER_TOKEN
            for estimate in estimates
        ),
        2,
    )


@dataclass(slots=True)
class _Bucket:
    level: float
    updated: datetime
    retry_at: datetime | None = None


class RateLimiter:
    """One bucket per user; bans go by address.

    tier: a key of `TIERS`, for all users.
    """

    def __init__(self, clock: Callable[[], datetime], tier: str) -> None:
        """Start with empty buckets."""
        self._clock = clock
        self.tier = tier
        self._buckets: dict[int, _Bucket] = {}
        self._ignored: dict[str, deque[datetime]] = {}
        self._banned_until: dict[str, datetime] = {}

    @property
    def capacity(self) -> float | None:
        """Return what the bucket holds; KeyError for an unknown tier."""
        return TIERS[self.tier]

    def reset(self) -> None:
        """Empty all buckets and lift all bans."""
        self._buckets.clear()
        self._ignored.clear()
        self._banned_until.clear()

    def level(self, user_id: int) -> float:
        """Return the tokens that are in a user's bucket now."""
        return self._leaked(user_id).level

    def fill(self, user_id: int, level: float) -> None:
        """Set the tokens in a user's bucket."""
        self._leaked(user_id).level = level

    def is_banned(self, remote: str) -> bool:
        """Tell whether an address is banned."""
        return self._ban_left(remote) is not None

    def refuse_banned(self, remote: str) -> None:
        """Refuse a banned address with 429 and the seconds that are left of its ban."""
        if (left := self._ban_left(remote)) is not None:
            raise _too_many(
                left, "The address is banned: earlier refusals were ignored", {}
            )

    def admit(self, user_id: int, remote: str, cost: float) -> dict[str, str]:
        """Charge a request and return the headers for its answer.

        429 while the bucket has no room, and 300 seconds long once ten refusals were ignored within a minute, which is:
        the same user asked again before `retryAfter` was over, and in vain. 422 for what no bucket could hold.
        """
        capacity = self.capacity
        if capacity is None:
            return {"X-RateLimit-Cost": f"{cost:g}"}
        now = self._clock()
        bucket = self._leaked(user_id)
        if cost > capacity:
            raise ApiError(
                422,
                f"The request costs {cost:g} tokens, the bucket holds {capacity:g}",
                headers=self._headers(cost, bucket, capacity),
            )
        if bucket.level + cost > capacity:
            if bucket.retry_at is not None and now < bucket.retry_at:
                self._note_ignored(remote, now)
                self.refuse_banned(remote)
            wait = math.ceil((bucket.level + cost - capacity) * 60 / capacity)
            bucket.retry_at = datetime.fromtimestamp(now.timestamp() + wait, now.tzinfo)
            raise _too_many(
                wait, "The bucket is full", self._headers(cost, bucket, capacity)
            )
        bucket.level += cost
        bucket.retry_at = None
        return self._headers(cost, bucket, capacity)

    def free_headers(self, user_id: int) -> dict[str, str]:
        """Return the headers for an answer that cost nothing."""
        if (capacity := self.capacity) is None:
            return {"X-RateLimit-Cost": "0"}
        return self._headers(0.0, self._leaked(user_id), capacity)

    @staticmethod
    def _headers(cost: float, bucket: _Bucket, capacity: float) -> dict[str, str]:
        return {
            "X-RateLimit-Cost": _number(cost),
            "X-RateLimit-Remaining": _number(max(0.0, capacity - bucket.level)),
            "X-RateLimit-Used": _number(bucket.level),
        }

    def _leaked(self, user_id: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(user_id, _Bucket(0.0, now))
        seconds = max(0.0, (now - bucket.updated).total_seconds())
        bucket.level = (
            max(0.0, bucket.level - seconds * (self.capacity or math.inf) / 60)
            if seconds
            else bucket.level
        )
        bucket.updated = now
        return bucket

    def _note_ignored(self, remote: str, now: datetime) -> None:
        ignored = self._ignored.setdefault(remote, deque())
        ignored.append(now)
        while (now - ignored[0]).total_seconds() > IGNORED_WITHIN_S:
            ignored.popleft()
        if len(ignored) >= IGNORED_BEFORE_BAN:
            ignored.clear()
            self._banned_until[remote] = datetime.fromtimestamp(
                now.timestamp() + BAN_S, now.tzinfo
            )

    def _ban_left(self, remote: str) -> int | None:
        until = self._banned_until.get(remote)
        if until is None or (left := (until - self._clock()).total_seconds()) <= 0:
            return None
        return math.ceil(left)


def _number(value: float) -> str:
    return f"{round(value, 2):.10g}"


def _too_many(retry_after: int, detail: str, headers: dict[str, str]) -> ApiError:
    return ApiError(
        429,
        detail,
        retry_after=retry_after,
        headers={**headers, "Retry-After": str(retry_after)},
    )
