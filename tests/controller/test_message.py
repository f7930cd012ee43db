"""Live messages as bytes: what is understood of them, and that nothing in them does harm."""

import json
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.eniris.controller.errors import InvalidMessageError
from custom_components.eniris.controller.message import LiveKey, read_mqtt, read_webhook

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(max_size=10)
            | st.sampled_from(
                ["time", "siteNodeId", "nodeId", "grid", "fields", "state", "x_W"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)
HEAD = {"time": "1796050800", "siteNodeId": "SN_site_0"}


@settings(max_examples=2000, deadline=None)
@given(JSON | st.binary(max_size=200))
def test_anything(message: Any) -> None:
    """Anything is read, or told to be no message; what is read can be shown."""
    payload = (
        message
        if isinstance(message, bytes)
        else json.dumps(message).encode(errors="surrogatepass")
    )
    whole = {**message, **HEAD} if isinstance(message, dict) else message
    bodies = [payload]
    if isinstance(whole, dict):
        bodies.append(json.dumps(whole).encode())
        state = {"time": 1, "fields": {"state": whole}}
        bodies.append(json.dumps(state).encode())
    for body in bodies:
        for read in (read_webhook, read_mqtt):
            try:
                found = read(body)
            except InvalidMessageError:
                continue
            for key, value in found.values.items():
                assert key.source.isprintable()
                assert "#" not in key.field
                if isinstance(value, float):
                    assert abs(value) < float("inf")


@pytest.mark.parametrize(
    "body",
    [
        {"battery 1": {"active_power_W": 5}},
        {"nodes": {"battery 1": {"active_power_W": 5}}},
        {"devices": [{"nodeId": "battery 1", "active_power_W": 5}]},
        {"nodeId": "battery 1", "active_power_W": 5},
        {"nodeId": "battery 1", "active_power_W": "5"},
    ],
)
def test_where_a_node_is(body: dict[str, Any]) -> None:
    """Nobody has written down how nodes are told apart; each way that is likely is read."""
    found = read_webhook(json.dumps({**HEAD, **body}).encode())
    assert found.values[LiveKey("battery 1", "active_power_W")] == 5.0


def test_most_values() -> None:
    """A message of very many values costs no more than the first five hundred."""
    many = {f"field{number}_W": number for number in range(2000)}
    found = read_webhook(json.dumps({**HEAD, "grid": many}).encode())
    assert len(found.values) == 500


@pytest.mark.parametrize("time", ["1796050800", "1796050800.5", 1796050800, 1.7e9])
def test_time(time: Any) -> None:
    """The time is seconds as text or number."""
    body = {**HEAD, "time": time}
    assert read_webhook(json.dumps(body).encode()).time == float(time)


def test_truth_value_of_a_measure() -> None:
    """A truth value is no number of watts, and would be sent as one where it is a limit."""
    body = {
        "time": 1,
        "siteNodeId": "s",
        "grid": {"import_limit_W": True, "active": True},
    }
    message = read_webhook(json.dumps(body).encode())
    assert message.values == {LiveKey("grid", "active"): True}
