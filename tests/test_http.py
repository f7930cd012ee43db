"""What calls go over, and to which hosts."""

import pytest

from custom_components.eniris.http import address_problem


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8124",
        "http://localhost:8124",
        "http://[::1]:8124",
        "http://127.8.8.8",
        "https://api.example.com",
        "https://api.example.com/eniris/",
        "HTTPS://API.EXAMPLE.COM",
        "https://192.168.1.20:8443",
    ],
)
def test_good_address(address: str) -> None:
    """Any https address is fine, and plain http to this very machine."""
    assert address_problem(address) is None
