"""What a loaded config entry has at run time."""

from dataclasses import dataclass

from homeassistant.config_entries import ConfigEntry

from .api import Session
from .exporting.exporter import Exporter
from .importing.ask import Asker
from .importing.coordinator import NodeCoordinator, TelemetryCoordinator
from .importing.devices import NodeDevices
from .importing.history import History


@dataclass(frozen=True, slots=True)
class EnirisData:
    """The account's session and the two flows that share it."""

    session: Session
    nodes: NodeCoordinator
    devices: NodeDevices
    telemetry: TelemetryCoordinator
    history: History
    asker: Asker
    exporter: Exporter


type EnirisConfigEntry = ConfigEntry[EnirisData]
