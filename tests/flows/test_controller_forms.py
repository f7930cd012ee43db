"""What is typed into the forms of a controller."""

from typing import Any

import pytest

from custom_components.eniris.flows.controller_forms import (
    read_mqtt,
    serial_of,
    shown_mqtt,
)

TYPED = {"host": "a", "tls": False, "username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("site", "serial"),
    [
        ("SGC2211-004187_site_0", "SGC2211-004187"),
        ("a_site_1_site_12", "a_site_1"),
        ("site_0", None),
        ("SGC1_site_", None),
        ("SGC1_site_0x", None),
        # What would be more than one level of a topic
        ("a/b_site_0", None),
        ("#_site_0", None),
        ("_site_0", None),
    ],
)
def test_the_serial_of_a_site(site: str, serial: str | None) -> None:
    """It is what stands before the site's number."""
    assert serial_of(site) == serial


@pytest.mark.parametrize(
    ("typed", "port"),
    [({}, 1883), ({"tls": True}, 8883), ({"port": 80}, 80), ({"port": 8883}, 8883)],
)
def test_the_port(typed: dict[str, Any], port: int) -> None:
    """Left empty, it is that of MQTT with or without TLS; then the form leaves it empty, too."""
    settings, errors = read_mqtt({**TYPED, **typed}, {})
    assert not errors
    assert settings["port"] == port
    assert shown_mqtt(settings).get("port") == typed.get("port")


@pytest.mark.parametrize(
    ("typed", "password"),
    [
        ({}, "stored"),
        ({"username": "other", "tls": True, "port": 1}, "stored"),
        ({"password": "new"}, "new"),
        ({"host": "b"}, ""),
        ({"host": "b", "password": "new"}, "new"),
    ],
)
def test_the_stored_password(typed: dict[str, Any], password: str) -> None:
    """An empty one is the stored one, which never goes to another host, and is never shown."""
    stored = {**TYPED, "port": 1883, "password": "stored"}
    given = {key: value for key, value in TYPED.items() if key != "password"}
    settings, errors = read_mqtt({**given, **typed}, stored)
    assert settings["password"] == password
    assert errors == ({} if password else {"password": "empty"})
    assert "password" not in shown_mqtt(settings)
