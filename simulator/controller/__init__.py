"""The controller in the house: its MQTT broker, its live values, and the schedules that it obeys."""

from .broker import Broker
from .controller import SimulatedController

__all__ = ["Broker", "SimulatedController"]
