"""What goes wrong in the demo."""


class DemoError(Exception):
    """Something did not happen; the text tells the user what."""
