"""How many messages are worked on."""

from freezegun.api import FrozenDateTimeFactory

from custom_components.eniris.controller.rate import PER_SECOND, RateLimit


def test_rate(freezer: FrozenDateTimeFactory) -> None:
    """Twenty a second, and twenty again in the next one."""
    rate = RateLimit()
    assert [rate.allows() for _ in range(PER_SECOND + 2)] == [
        *[True] * PER_SECOND,
        False,
        False,
    ]
    assert rate.refused == 2
    freezer.tick(1)
    assert rate.allows()
