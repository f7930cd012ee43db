"""What a loaded config entry has at run time."""

import asyncio
from dataclasses import dataclass

from homeassistant.config_entries import ConfigEntry

from .api import Session
from .devices import NodeDevices
from .exporting.exporter import Exporter
from .importing.budget.reader import TelemetryReader
from .importing.coordinator import NodeCoordinator, TelemetryCoordinator
from .importing.forecast import PriceCoordinator
from .importing.history.importer import History


@dataclass(frozen=True, slots=True)
class EnirisData:
    """The account's session and the two flows that share it."""

    session: Session
    nodes: NodeCoordinator
    devices: NodeDevices
    telemetry: TelemetryCoordinator
    history: History
    asker: TelemetryReader
    prices: PriceCoordinator
    exporter: Exporter
    first_refresh: asyncio.Task[None]
    """Reads nodes and values for the first time, beside everything else."""


type EnirisConfigEntry = ConfigEntry[EnirisData]
