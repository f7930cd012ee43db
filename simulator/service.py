"""What the service is made of, without a server: accounts, devices, points, and the calls of its hosts."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from aiohttp import web

from .accounts import Accounts, demo_accounts
from .auth import AuthApi, Authority, SentEmail
from .devices import Devices
from .faults import Faults
from .metadata import MetadataApi
from .model import World
from .rate_limit import TIERS, RateLimiter
from .request_log import RequestLog
from .store import PointStore
from .switches import Switches
from .telemetry import TelemetryApi
from .timestamps import utc_now
from .tokens import TokenKind, TokenMint
from .world_index import WorldIndex
from .write import WriteApi


class Api(Protocol):
    """Some calls of a host."""

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes."""


class Service:
    """The Eniris cloud as it is kept in memory.

    accounts: who may log in. switches: behaviour that the documentation leaves open. faults: what goes wrong.
    devices: overlay over the world's metadata. store: the written points. log: what was asked.
    limiter: the leaky bucket. auth: limits of attempts, and the e-mails that were sent. mint: the tokens.
    stopping: set while the simulator stops. control_parts: what else the control API has from the next start on.
    """

    def __init__(
        self,
        world: World,
        *,
        tier: str = "premium",
        clock: Callable[[], datetime] = utc_now,
        accounts: Accounts | None = None,
        switches: Switches | None = None,
        secret: bytes | None = None,
    ) -> None:
        """Be the service of a world.

        tier: a key of `TIERS`. clock: returns the present as an aware datetime. secret: signs the tokens;
        with the same one they are good for a later simulator too.
        """
        if tier not in TIERS:
            raise ValueError(f"no such tier: {tier}")
        self.world = world
        self.stopping = asyncio.Event()
        self.control_parts: list[Api] = []
        self.clock = clock
        self.accounts = accounts or demo_accounts()
        self.switches = switches or Switches()
        self.faults = Faults()
        self.log = RequestLog(clock)
        self.mint = TokenMint(clock, secret)
        self.store = PointStore()
        self.devices = Devices(world, clock)
        self.limiter = RateLimiter(clock, tier)
        authority = Authority(self.accounts, self.mint)
        index = WorldIndex(world)
        self.auth = AuthApi(authority, clock, self.switches)
        self._apis: tuple[Api, ...] = (
            self.auth,
            MetadataApi(
                world=world,
                devices=self.devices,
                authority=authority,
                limiter=self.limiter,
                log=self.log,
                switches=self.switches,
            ),
            TelemetryApi(
                world=world,
                index=index,
                store=self.store,
                authority=authority,
                limiter=self.limiter,
                log=self.log,
                clock=clock,
                switches=self.switches,
            ),
            WriteApi(
                authority=authority,
                store=self.store,
                index=index,
                log=self.log,
                clock=clock,
                switches=self.switches,
            ),
        )

    @property
    def tier(self) -> str:
        """Return the rate-limit tier."""
        return self.limiter.tier

    @tier.setter
    def tier(self, tier: str) -> None:
        if tier not in TIERS:
            raise ValueError(f"no such tier: {tier}")
        self.limiter.tier = tier

    @property
    def emails(self) -> list[SentEmail]:
        """Return the codes that were e-mailed, oldest first."""
        return self.auth.emails

    def revoke(self, username: str, kind: TokenKind) -> None:
        """Refuse all tokens of a kind that a user has been given so far; KeyError for an unknown user."""
        self.mint.revoke_all(self.accounts[username].user_id, kind)

    def reset(self) -> None:
        """Forget points, requests, faults, edits, attempts and levels; accounts, switches and tokens stay."""
        self.store.clear()
        self.log.reset()
        self.faults.clear()
        self.devices.reset()
        self.limiter.reset()
        self.auth.reset()
