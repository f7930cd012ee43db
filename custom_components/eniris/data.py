"""What a loaded config entry has at run time."""

import asyncio
from dataclasses import dataclass

from homeassistant.config_entries import ConfigEntry

from .api import Session
from .controller.controller import Controller
from .devices import NodeDevices
from .export_host import ExportHost
from .exporting.exporter import Exporter
from .importing.budget.reader import TelemetryReader
from .importing.coordinator import NodeCoordinator, TelemetryCoordinator
from .importing.forecast import PriceCoordinator
from .importing.history.importer import History


@dataclass(frozen=True, slots=True)
class EnirisData:
    """The account's session, the two flows that share it, and the controllers by the ids of their subentries."""

    session: Session
    nodes: NodeCoordinator
    devices: NodeDevices
    telemetry: TelemetryCoordinator
    history: History
    asker: TelemetryReader
    prices: PriceCoordinator
    exports: ExportHost
    controllers: dict[str, Controller]
    first_refresh: asyncio.Task[None]
    """Reads nodes and values for the first time, beside everything else."""

    @property
    def exporter(self) -> Exporter:
        """What collects and uploads; another one after a change of the exports."""
        return self.exports.exporter


type EnirisConfigEntry = ConfigEntry[EnirisData]
