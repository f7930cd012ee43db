"""What is in memory alone: in order, by target, and never more than there is room for."""

from custom_components.eniris.exporting.outbox import memory as module
from custom_components.eniris.exporting.outbox.batches import (
    Block,
    FieldKey,
    Sample,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.memory import MEMORY_LIMIT, Memory
from tests.exporting.conftest import OTHER_TARGET, SERIES, TARGET, sample, to_target
from tests.kit.outbox import samples_of

KEY = FieldKey(TARGET, SERIES.measurement, "bad_W", "float")


def block(*samples: Sample, taken: float = 0.0) -> Block:
    """Return samples of one export and series as a block."""
    [found] = to_blocks(samples)
    found.taken = taken
    return found


def test_by_target() -> None:
    """Each target has its own, the oldest first."""
    memory = Memory()
    first, second = block(sample(0)), block(sample(1), sample(2))
    other = block(sample(3, export_id="b", series=to_target(OTHER_TARGET)))
    memory.add([first, second, other], ())
    assert memory.of(TARGET) == [first, second]
    assert memory.of(OTHER_TARGET) == [other]
    assert set(memory.targets) == {TARGET, OTHER_TARGET}
    assert len(memory) == 4
    assert [len(its) for its in memory.all()] == [1, 2, 1]
    memory.remove([second, other])
    assert list(memory.all()) == [first]
    assert memory.targets == [TARGET]
    assert memory.of(OTHER_TARGET) == []
    memory.put_back([second])
    assert memory.of(TARGET) == [second, first]


def test_blocked_fields_are_kept_apart() -> None:
    """What is of them goes into no batch, and is counted all the same."""
    memory = Memory()
    memory.add([block(sample(0), sample(0, name="bad_W"))], {KEY})
    [rest] = memory.of(TARGET)
    assert rest.fields == ["actualPowerTot_W"]
    assert [each.fields for each in memory.of(KEY)] == [["bad_W"]]
    assert len(memory) == 2
    memory.remove([*memory.of(KEY)])
    assert not memory.of(KEY)
    assert memory.targets == [TARGET]


def test_only_what_is_blocked_is_taken_out() -> None:
    """All other blocks stay the same objects: one may be under way, and is found by that afterwards."""
    memory = Memory()
    under_way = block(sample(0, series=to_target(OTHER_TARGET)))
    mixed = block(sample(1), sample(1, 2.0, "bad_W"))
    memory.add([under_way, mixed], ())
    memory.hold({KEY})
    assert memory.of(OTHER_TARGET)[0] is under_way
    memory.remove([under_way])
    assert memory.targets == [TARGET]
    assert samples_of(memory.of(TARGET)) == [sample(1)]
    assert samples_of(memory.of(KEY)) == [sample(1, 2.0, "bad_W")]
    # A type is part of a field
    memory.add([block(sample(2, "word", "bad_W"))], {KEY})
    assert len(memory.of(TARGET)) == 2


def test_room() -> None:
    """The oldest go, wherever they are to go to, no more than it takes; they are counted by export."""
    memory = Memory()
    share = MEMORY_LIMIT // 4
    for number in range(5):
        series = (SERIES, to_target(OTHER_TARGET))[number % 2]
        its = Block(f"e{number}", series, taken=-float(number))
        its.times = [number] * share
        its.fields, its.values = ["f"] * share, [1.0] * share
        memory.add([its], ())
    assert memory.drop_excess() == {"e4": share}
    assert memory.drop_excess() == {}
    assert len(memory) == MEMORY_LIMIT == module.MEMORY_LIMIT
