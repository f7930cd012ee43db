"""What a kind of fault is: a function that injects, waits, and clears."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
import random
from typing import Literal

from scripts.demo.errors import DemoError

from .door import GoneError
from .world import World

type Deck = Literal["service", "machine", "controller"]
type Inject = Callable[[World, random.Random, float], Awaitable[None]]
type Need = Literal["mounts", "faketime", "a C compiler"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault."""

    name: str
    family: str
    """The kind under which the figures count it."""
    deck: Deck
    seconds: tuple[float, float]
    """For how long at least and at most."""
    inject: Inject
    needs: Need | None = None


async def attempt(action: Awaitable[None]) -> None:
    """Do something that may fail: Home Assistant may be gone, or refuse it."""
    with suppress(GoneError, DemoError):
        await action
