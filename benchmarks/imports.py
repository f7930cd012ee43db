"""What Home Assistant imports of an integration when it starts: `python -m benchmarks.imports PACKAGE`.

Prints the milliseconds of processor time that takes in a fresh interpreter in which Home Assistant itself has been
imported, and the entity components that any home has: the integration's own modules and the libraries that it alone needs.
"""

import importlib
from importlib.util import find_spec
import sys
import time

_HOME_ASSISTANT = (
    "bootstrap",
    *(f"components.{name}" for name in ("binary_sensor", "button", "switch")),
    *("components.diagnostics", "components.repairs", "components.system_health"),
    "helpers.aiohttp_client",
)
_PLATFORMS = (
    *("config_flow", "diagnostics", "repairs", "system_health"),
    *("binary_sensor", "button", "sensor", "switch"),
)


def import_ms(package: str) -> float:
    """Import an integration with all of the platforms that it has."""
    for name in _HOME_ASSISTANT:
        importlib.import_module(f"homeassistant.{name}")
    started = time.process_time()
    importlib.import_module(package)
    for platform in _PLATFORMS:
        if find_spec(f"{package}.{platform}"):
            importlib.import_module(f"{package}.{platform}")
    return (time.process_time() - started) * 1000


if __name__ == "__main__":
    print(import_ms(sys.argv[1]))
