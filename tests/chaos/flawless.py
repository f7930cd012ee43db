"""A run without a flaw, and what spoils it: what the oracle is tested with."""

from dataclasses import replace

from .exports import EXPORTS, TAGS, Exported
from .journal import SECOND, Journal, Key, Mark, Set
from .notes import Life, Run, Stored, Verdict
from .oracle import Judge

WALL = 1_800_000_000 * SECOND
"""What the clock shows when the monotonic one is at zero."""

SECONDS = 60
"""How long the run takes; its values begin after one second and the account is loaded after two."""

BY_MEASUREMENT = {export.measurement: export for export in EXPORTS}
SWITCH = "switch.chaos_switched"
FAULT = "Injected fault 1."


def stored_at(export: Exported, value: object) -> Stored:
    """Return a value where its export has it stored."""
    return Stored(value, export.retention_policy, TAGS, export.database)


def make_run() -> Run:
    """Return a run in which each meter takes a value a second, and all that is due is stored."""
    values: list[Set] = []
    stored: dict[Key, Stored] = {}
    place = 0
    for second in range(1, SECONDS):
        for export in EXPORTS:
            for number, (entity_id, name) in enumerate(export.fields.items()):
                place += 50
                at = second * SECOND + number * 1000
                value = float(place) if "_power_" in entity_id else f"word{place}"
                key = Key(export.measurement, name, WALL + at)
                values.append(Set(entity_id, key, at, value))
                if export.every_value or (export.shortest and second % 2):
                    stored[key] = stored_at(export, value)
                if export.interval is None or second % 2:
                    continue
                wall = WALL + second * SECOND
                before = values[-1 - sum(len(each.fields) for each in EXPORTS)].value
                if export.aggregate == "last":
                    stored[key._replace(wall=wall)] = stored_at(export, before)
                elif second > 2:
                    stored[key._replace(wall=wall - 2 * SECOND)] = stored_at(
                        export, before
                    )
    journal = Journal(
        sorted(values, key=lambda item: item.at),
        [Mark("entry", WALL + 2 * SECOND, 2 * SECOND, "loaded")],
        [],
        [],
    )
    return Run(
        journal=journal,
        begin=0,
        end=SECONDS * SECOND,
        lives=[Life(0)],
        true_wall=WALL,
        stored=stored,
        rejects={},
        tags=TAGS,
        switches={"chaosSwitched": SWITCH},
    )


def judge(run: Run) -> Verdict:
    """Return the oracle's verdict."""
    return Judge(run).judge()


def value_at(run: Run, second: int, measurement: str = "chaosChange") -> Set:
    """Return a value that was set in a second."""
    return next(
        item
        for item in run.journal.values
        if item.at // SECOND == second and item.key.measurement == measurement
    )


def without(run: Run, *keys: Key) -> Run:
    """Return a run in which some of it was not stored."""
    gone = set(keys)
    assert gone <= run.stored.keys()
    kept = {key: value for key, value in run.stored.items() if key not in gone}
    return replace(run, stored=kept)


def added(run: Run, key: Key, value: object, **details: object) -> Run:
    """Return a run in which something more, or something else, was stored."""
    usual = stored_at(BY_MEASUREMENT[key.measurement], value)
    stored = replace(usual, **details)  # type: ignore[arg-type]
    return replace(run, stored={**run.stored, key: stored})


def ended(run: Run, second: int, *, killed: bool) -> Run:
    """Return a run whose process ended, so that nothing was set afterwards."""
    values = [item for item in run.journal.values if item.at < second * SECOND]
    return replace(
        run,
        journal=replace(run.journal, values=values),
        lives=[Life(0, second * SECOND, killed)],
        stored={
            key: value
            for key, value in run.stored.items()
            if key.wall < WALL + second * SECOND
        },
    )
