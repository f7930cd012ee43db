"""What the tests of the controller share: both brokers, the simulator's and one that nobody here has written."""

from pathlib import Path

import pytest

from simulator.controller.broker import AnyBroker
from tests.kit.controller import USERS, simulated_broker
from tests.kit.mosquitto import Mosquitto


@pytest.fixture(params=["simulated", "mosquitto"])
def each_broker(
    request: pytest.FixtureRequest, certificate: tuple[Path, Path], tmp_path: Path
) -> AnyBroker:
    """Return a broker that does not run yet; a test file whose `broker` this is runs with each."""
    if request.param == "mosquitto":
        return Mosquitto(USERS, certificate, tmp_path)
    return simulated_broker(certificate)
