"""What can go wrong with a controller, its messages and its broker."""


class ControllerError(Exception):
    """Anything that keeps a controller's values or schedules away."""


class InvalidMessageError(ControllerError):
    """A message that does not have the shape of one; the text says what is wrong, not what was sent."""


class BrokerUnreachableError(ControllerError):
    """The broker did not answer, or ended the connection."""


class TlsRefusedError(ControllerError):
    """The encrypted connection could not be made."""


class LoginRefusedError(ControllerError):
    """The broker refuses the user name and password, or this user the controller's topics."""


class NotConnectedError(ControllerError):
    """There is no connection to the broker at present."""


class NotAcknowledgedError(ControllerError):
    """The controller did not answer in time."""


class ScheduleRefusedError(ControllerError):
    """The controller refused; the text is what it says."""
