"""The node tree, of metadata in which parents and children need not agree."""

from collections.abc import Callable, Iterable
import random
import time

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.eniris.api import Device, SeriesInfo
from custom_components.eniris.importing.nodes import SITE_NODE_TYPE, Node, build_nodes

SERIES = (SeriesInfo("db", "rp_one_m", "m", (("nodeId", "x"),), ("actualPowerTot_W",)),)


def meter(
    node_id: str,
    *parents: str,
    children: Iterable[str] | None = None,
    last_update: str | None = None,
    name: str | None = None,
) -> Device:
    """Return a node that carries data."""
    return Device(
        node_id,
        parents=parents,
        children=None if children is None else tuple(children),
        series=SERIES,
        last_update=last_update,
        name=name,
    )


def board(node_id: str, *parents: str, children: Iterable[str] | None = None) -> Device:
    """Return a node of the infrastructure, without data."""
    return Device(
        node_id,
        parents=parents,
        children=None if children is None else tuple(children),
        node_type="switchboard",
    )


def site(node_id: str, children: Iterable[str] | None = None) -> Device:
    """Return a site without data."""
    return Device(
        node_id,
        node_type=SITE_NODE_TYPE,
        children=None if children is None else tuple(children),
    )


def tree(*devices: Device) -> dict[str, str | None]:
    """Return the parent of each node that is shown."""
    nodes = build_nodes(devices)
    check(nodes)
    return {node_id: node.parent_id for node_id, node in nodes.items()}


def check(nodes: dict[str, Node]) -> None:
    """Fail where a node stands before the one above it, which the device registry needs first."""
    seen: set[str | None] = {None}
    for node_id, node in nodes.items():
        assert node.id == node_id
        assert node.parent_id in seen
        seen.add(node_id)


def test_nothing() -> None:
    """No devices, no nodes."""
    assert tree() == {}


def test_both_sides_agree() -> None:
    """The order of the metadata does not matter."""
    devices = [
        meter("string", "inverter"),
        meter("inverter", "site", children=["string"]),
        site("site", children=["inverter"]),
    ]
    expected = {"site": None, "inverter": "site", "string": "inverter"}
    assert tree(*devices) == expected
    assert tree(*reversed(devices)) == expected


def test_only_the_parent_knows() -> None:
    """A child that knows of no parent hangs where a parent lists it."""
    assert tree(site("site", children=["meter"]), meter("meter"))["meter"] == "site"


def test_only_the_child_knows() -> None:
    """A parent that keeps no list takes whoever claims it."""
    assert tree(site("site"), meter("meter", "site"))["meter"] == "site"


def test_parent_wins() -> None:
    """A parent's list that lacks a child is right, and so is the list that has it."""
    assert (
        tree(
            site("left", children=[]),
            site("right", children=["meter"]),
            meter("meter", "left"),
        )["meter"]
        == "right"
    )
    assert tree(site("site", children=[]), meter("meter", "site"))["meter"] is None


def test_unknown_relatives() -> None:
    """Who is not in the metadata is no relative."""
    assert tree(meter("meter", "gone", children=["gone too"])) == {"meter": None}


def test_two_parents() -> None:
    """Of two parents that both agree, the first that the child names is taken."""
    devices = [
        site("left", children=["meter"]),
        site("right", children=["meter"]),
        meter("meter", "right", "left"),
    ]
    assert tree(*devices)["meter"] == "right"


def test_own_parent() -> None:
    """A node is not its own parent, whatever both its lists say."""
    assert tree(meter("meter", "meter", children=["meter"])) == {"meter": None}


@pytest.mark.parametrize("length", [2, 3, 10])
def test_cycle(length: int) -> None:
    """A cycle is cut at one place and hangs below the account; all of it is shown."""
    parents = tree(
        *(meter(f"n{index}", f"n{(index + 1) % length}") for index in range(length))
    )
    assert len(parents) == length
    assert [parents[f"n{index}"] for index in range(length)].count(None) == 1


def test_branch_of_a_cycle() -> None:
    """What hangs off a cycle stays where it hangs."""
    parents = tree(meter("leaf", "a"), meter("a", "b"), meter("b", "a"))
    assert parents["leaf"] == "a"
    assert set(parents) == {"leaf", "a", "b"}


def test_infrastructure_without_data() -> None:
    """A switchboard carries no empty device; what hangs below it moves up."""
    assert tree(
        board("controller", children=["site"]),
        site("site", children=["board"]),
        board("board", "site", children=["sub"]),
        board("sub", "board", children=["meter"]),
        meter("meter", "sub"),
    ) == {"site": None, "meter": "site"}


def test_infrastructure_with_data() -> None:
    """A switchboard that is metered is a node like any other."""
    assert tree(
        site("site"),
        Device("board", node_type="switchboard", parents=("site",), series=SERIES),
        meter("meter", "board"),
    ) == {"site": None, "board": "site", "meter": "board"}


def test_hidden_cycle() -> None:
    """Infrastructure that goes in circles ends somewhere."""
    assert tree(board("a", "b"), board("b", "a"), meter("meter", "a")) == {
        "meter": None
    }


def test_nearest_above() -> None:
    """Of two ways up the shorter one counts."""
    assert (
        tree(
            site("far"),
            site("near"),
            board("one", "two"),
            board("two", "far"),
            board("three", "near"),
            meter("meter", "one", "three"),
        )["meter"]
        == "near"
    )


def test_unknown_type() -> None:
    """A type that nobody has heard of is shown where it has data."""
    device = Device("turbine", node_type="windTurbine", series=SERIES)
    assert tree(device, Device("x", node_type="flyingCarpet")) == {"turbine": None}


@pytest.mark.parametrize("turned", [False, True])
def test_duplicate(turned: bool) -> None:
    """Of two devices with one node id the one that was changed last is it."""
    devices = [
        meter("meter", last_update="2026-01-01T00:00:00Z", name="old"),
        meter("meter", last_update="2026-02-01T00:00:00Z", name="new"),
        meter("meter", name="never"),
    ]
    nodes = build_nodes(reversed(devices) if turned else devices)
    assert nodes["meter"].device.name == "new"
    assert len(nodes) == 1
    devices.append(Device("meter", last_update="2026-03-01T00:00:00Z", name="empty"))
    nodes = build_nodes(reversed(devices) if turned else devices)
    assert nodes["meter"].device.name == "new"


@pytest.mark.parametrize("shape", ["flat", "chain", "cycle", "random"])
def test_ten_thousand(shape: str) -> None:
    """Ten thousand nodes in any arrangement take no time to speak of."""
    number = 10_000
    dice = random.Random(1)
    above: dict[str, Callable[[int], int]] = {
        "flat": lambda _: 0,
        "chain": lambda index: index - 1,
        "cycle": lambda index: (index - 1) % number,
        "random": lambda _: dice.randrange(number),
    }
    devices = [meter(f"n{index}", f"n{above[shape](index)}") for index in range(number)]
    begin = time.process_time()
    nodes = build_nodes(devices)
    assert time.process_time() - begin < 2
    check(nodes)
    assert len(nodes) == number


def test_ten_thousand_children() -> None:
    """Nor does a node that lists them all."""
    ids = [f"n{index}" for index in range(10_000)]
    devices = [meter(node_id, "site") for node_id in ids]
    begin = time.process_time()
    nodes = build_nodes([site("site", children=ids), *devices])
    assert time.process_time() - begin < 1
    assert {nodes[node_id].parent_id for node_id in ids} == {"site"}


def test_ten_thousand_hidden() -> None:
    """Nor does a long way up through infrastructure."""
    devices = [board(f"n{index}", f"n{index - 1}") for index in range(1, 10_000)]
    begin = time.process_time()
    assert tree(site("n0"), *devices, meter("meter", "n9999"))["meter"] == "n0"
    assert time.process_time() - begin < 1


IDS = st.sampled_from([f"n{index}" for index in range(8)])
DEVICES = st.builds(
    Device,
    node_id=IDS,
    node_type=st.sampled_from([None, SITE_NODE_TYPE, "switchboard"]),
    parents=st.lists(IDS, max_size=3).map(tuple),
    children=st.none() | st.lists(IDS, max_size=3).map(tuple),
    series=st.sampled_from([(), SERIES]),
)


@given(st.lists(DEVICES, max_size=12))
@settings(max_examples=300, deadline=None)
def test_whatever_comes(devices: list[Device]) -> None:
    """Any metadata makes a tree that holds every site and every node with data."""
    nodes = build_nodes(devices)
    check(nodes)
    # Of duplicates the first that has data, else the first
    ordered = sorted(devices, key=lambda device: not device.series)
    first = {device.node_id: device for device in reversed(ordered)}
    assert set(nodes) == {
        node_id
        for node_id, device in first.items()
        if device.series or device.node_type == SITE_NODE_TYPE
    }
