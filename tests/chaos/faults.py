"""All kinds of faults.

Those of the service and of the controller are dealt every few seconds and overlap. Those of the machine come one after the other, since a process
can be ended only once, but amidst those of the service.
"""

from collections.abc import Iterator

from .faults_controller import of_the_controller
from .faults_machine import of_the_machine
from .faults_service import of_the_service
from .faults_targets import of_the_targets
from .kind import Kind


def kinds() -> Iterator[Kind]:
    """Go through all kinds."""
    yield from of_the_service()
    yield from of_the_targets()
    yield from of_the_machine()
    yield from of_the_controller()
