"""The leaky bucket in front of telemetry queries."""

from typing import Any

import pytest

from simulator.rate_limit import QueryEstimate, request_cost
from simulator.server import Simulator

from .conftest import Answer, Client, Clock
from .test_telemetry import NOON, PATH, query, where

DEMO = 1001
HEADERS = ("X-RateLimit-Cost", "X-RateLimit-Remaining", "X-RateLimit-Used")


def numbers(answer: Answer) -> list[float]:
    """Return the rate-limit headers."""
    return [float(answer.headers[name]) for name in HEADERS]


def test_cost() -> None:
    poll = [QueryEstimate(datapoints=300 * 10, shards=1)] * 14
    assert 2 < request_cost(poll) < 6
    assert request_cost([]) < request_cost(poll[:1]) < request_cost(poll[:2])
    assert request_cost([QueryEstimate(0, 1)]) < request_cost([QueryEstimate(0, 30)])
    assert request_cost([QueryEstimate(366 * 86_400, 366)]) > 1000


async def test_cost_falls_with_limit_and_rises_without_a_range(client: Client) -> None:
    def cost(answer: Answer) -> float:
        return numbers(answer)[0]

    hour = {"where": where((">=", NOON - 3_600_000), nodeId="meter")}
    limited = cost(await client.post(PATH, query(**hour, limit=1)))
    unlimited = cost(await client.post(PATH, query(**hour)))
    everything = cost(
        await client.post(PATH, query(where=None, orderBy="DESC", limit=1))
    )
    assert limited < unlimited < 10
    assert everything > 1000


async def test_unlimited_tier(simulator: Simulator, client: Client) -> None:
    simulator.tier = "unlimited"
    answer = await client.post(PATH, query())
    assert [name in answer.headers for name in HEADERS] == [True, False, False]
    answer = await client.post(PATH, None)
    assert (answer.status, answer.headers["X-RateLimit-Cost"]) == (400, "0")


async def test_unknown_tier(simulator: Simulator) -> None:
    with pytest.raises(ValueError):
        simulator.tier = "gold"
    with pytest.raises(ValueError):
        Simulator(simulator.world, tier="gold")


async def test_full_bucket(simulator: Simulator, clock: Clock, client: Client) -> None:
    simulator.tier = "free"
    simulator.limiter.fill(DEMO, 99.5)
    answer = await client.post(PATH, query())
    assert answer.status == 429
    assert numbers(answer) == [0.65, 0.5, 99.5]
    assert answer.json["retryAfter"] == int(answer.headers["Retry-After"]) == 1
    clock.advance(seconds=1)
    assert (await client.post(PATH, query())).status == 200
    assert simulator.limiter.level(DEMO) == pytest.approx(99.5 - 100 / 60 + 0.65)


async def test_dearer_than_the_bucket(simulator: Simulator, client: Client) -> None:
    simulator.tier = "free"
    answer = await client.post(PATH, query(where=None, limit=1))
    assert answer.status == 422
    assert numbers(answer)[0] > 100
    assert simulator.limiter.level(DEMO) == 0


async def test_ignored_refusals_lead_to_a_ban(
    simulator: Simulator, clock: Clock, client: Client
) -> None:
    simulator.tier = "free"
    simulator.limiter.fill(DEMO, 100)
    # 15.5 tokens, for which the bucket needs ten seconds
    dear = [query(limit=1)] * 100
    waits = [(await client.post(PATH, dear)).json["retryAfter"] for _ in range(10)]
    assert set(waits) == {10}
    answer = await client.post(PATH, dear)
    assert (
        answer.status,
        answer.json["retryAfter"],
        answer.headers["Retry-After"],
    ) == (429, 300, "300")
    assert simulator.limiter.is_banned("127.0.0.1")
    clock.advance(seconds=299)
    for answer in (await client.post(PATH, query()), await client.get("/v1/company")):
        assert (answer.status, answer.json["retryAfter"]) == (429, 1)
    clock.advance(seconds=1)
    await client.log_in()
    assert (await client.post(PATH, query())).status == 200


async def test_patience_leads_to_no_ban(
    simulator: Simulator, clock: Clock, client: Client
) -> None:
    simulator.tier = "free"
    dear = [query(limit=1)] * 100
    for _ in range(15):
        simulator.limiter.fill(DEMO, 100)
        answer = await client.post(PATH, dear)
        assert answer.json["retryAfter"] == 10
        clock.advance(seconds=10)
    assert not simulator.limiter.is_banned("127.0.0.1")


async def test_tier_that_may_not_be_used(simulator: Simulator, client: Client) -> None:
    simulator.switches.tier_allowed = False
    assert (await client.post(PATH, query())).status == 403


@pytest.mark.parametrize("body", [query(), {}])
async def test_headers_need_a_good_token(stranger: Client, body: Any) -> None:
    answer = await stranger.post(PATH, body)
    assert answer.status == 401
    assert HEADERS[0] not in answer.headers
