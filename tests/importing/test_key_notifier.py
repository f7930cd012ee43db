"""Who is told of new values: each of its own key alone, in slices, and nobody twice."""

import asyncio
from functools import partial
from itertools import pairwise

import pytest

from custom_components.eniris.importing.key_notifier import KeyNotifier
from custom_components.eniris.importing.plan import FieldKey
from homeassistant.core import HomeAssistant

A, B = (FieldKey("node", "measurement", name) for name in "ab")
MANY = [FieldKey("node", "measurement", f"f{number}") for number in range(200)]


async def test_own_key_alone(hass: HomeAssistant) -> None:
    """A listener hears of a new value, of another availability and of the end of its key, and of nothing else."""
    notifier, told = KeyNotifier(hass), []
    stop = notifier.async_add_listener(A, lambda: told.append("a"))
    notifier.async_add_listener(B, lambda: told.append("b"))
    assert notifier.listened == {A, B}
    for shown, wanted in (
        ({A: (True, 1.0), B: (True, 1.0)}, ["a", "b"]),
        ({A: (True, 1.0), B: (True, 1.0)}, []),
        ({A: (True, 2.0), B: (True, 1.0)}, ["a"]),
        ({A: (True, 2.0), B: (False, 1.0)}, ["b"]),
        ({B: (False, 1.0)}, ["a"]),
    ):
        notifier.async_update(shown)
        await hass.async_block_till_done()
        assert told == wanted
        told.clear()
    stop()
    assert notifier.listened == {B}
    notifier.async_update({A: (True, 3.0), B: (False, 1.0)})
    await hass.async_block_till_done()
    assert told == []


async def test_new_keys(hass: HomeAssistant) -> None:
    """Whoever asks for keys gets those that there are, and each new one once."""
    notifier = KeyNotifier(hass)
    first: list[FieldKey] = []
    second: list[FieldKey] = []
    notifier.async_add_new_keys_listener(first.extend)
    notifier.async_update({A: (True, 1.0)})
    await hass.async_block_till_done()
    stop = notifier.async_add_new_keys_listener(second.extend)
    notifier.async_update({A: (True, 2.0), B: (True, 1.0)})
    await hass.async_block_till_done()
    assert first == second == [A, B]
    stop()
    # One that was gone is new again
    notifier.async_update({B: (True, 1.0)})
    notifier.async_update({A: (True, 2.0), B: (True, 1.0)})
    await hass.async_block_till_done()
    assert first == [A, B, A]
    assert second == [A, B]


async def test_in_slices(hass: HomeAssistant) -> None:
    """The event loop has its turn between slices, and a value that changes meanwhile is told once."""
    notifier, turns = KeyNotifier(hass), list[int]()
    told: list[FieldKey] = []
    for key in MANY:
        notifier.async_add_listener(key, partial(told.append, key))
    notifier.async_update(dict.fromkeys(MANY, (True, 1.0)))
    while len(told) < len(MANY):
        await asyncio.sleep(0)
        turns.append(len(told))
        if len(turns) == 2:
            # The last of them is not told of yet
            notifier.async_update(
                {key: (True, 1.0 + (key == MANY[-1])) for key in MANY}
            )
    assert max(after - before for before, after in pairwise(turns)) <= 25
    await hass.async_block_till_done()
    assert told == MANY


@pytest.mark.expected_log("The entity of .* failed")
async def test_one_that_fails(hass: HomeAssistant) -> None:
    """A listener that fails is logged, and the others are told."""
    notifier, told = KeyNotifier(hass), []

    def fail() -> None:
        raise ValueError("no")

    notifier.async_add_listener(A, fail)
    notifier.async_add_listener(B, lambda: told.append("b"))
    notifier.async_update({A: (True, 1.0), B: (True, 1.0)})
    await hass.async_block_till_done()
    assert told == ["b"]
