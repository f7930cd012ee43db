"""The nodes, metadata and physics that the simulator tells about.

`HomeWorld` is one well-kept home, `FleetWorld` many sites with the disorder of real metadata.
"""

from .fleet import FleetWorld
from .home import HomeWorld

__all__ = ["FleetWorld", "HomeWorld"]
