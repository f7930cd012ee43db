"""The past of an account: hours of telemetry that become long-term statistics of its entities."""

from .importer import EVENT_IMPORTED, History
from .job import history_store

__all__ = ["EVENT_IMPORTED", "History", "history_store"]
