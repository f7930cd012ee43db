"""Numbers: what a site may take from the grid and give to it while a policy is held."""

from typing import Any, Final

from homeassistant.components.number import (
    NumberDeviceClass,
    NumberEntity,
    NumberEntityDescription,
    NumberMode,
)
from homeassistant.const import EntityCategory, UnitOfPower
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import RestoredExtraData, RestoreEntity

from .controller.schedules import LARGEST_LIMIT, POLICIES
from .data import EnirisConfigEntry
from .entity import EnirisScheduleEntity
from .schedule_calls import controller_asked

PARALLEL_UPDATES = 1

_WANTED: Final = "wanted"

LIMITS = tuple(
    NumberEntityDescription(
        key=key,
        translation_key=key,
        device_class=NumberDeviceClass.POWER,
        native_unit_of_measurement=UnitOfPower.WATT,
        native_min_value=0,
        native_max_value=LARGEST_LIMIT,
        native_step=1,
        mode=NumberMode.BOX,
        entity_category=EntityCategory.CONFIG,
    )
    for key in ("import_limit", "export_limit")
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the limits of each controller that takes schedules."""
    for controller in entry.runtime_data.controllers.values():
        if controller.policies is not None:
            async_add_entities(
                [
                    EnirisLimitNumber(entry, controller, controller.policies, limit)
                    for limit in LIMITS
                ],
                config_subentry_id=controller.settings.id,
            )


class EnirisLimitNumber(EnirisScheduleEntity, NumberEntity, RestoreEntity):
    """The limit of the schedule that is in force; what is set goes with a policy that is held now or later."""

    _unrecorded_attributes = frozenset({_WANTED})

    async def async_added_to_hass(self) -> None:
        """Restore what was set."""
        await super().async_added_to_hass()
        last = await self.async_get_last_extra_data()
        wanted = None if last is None else last.as_dict().get(_WANTED)
        if isinstance(wanted, int):
            self._wanted.setdefault(self._key, wanted)

    @property
    def _key(self) -> str:
        return self.entity_description.key

    @property
    def _wanted(self) -> dict[str, int]:
        return self.controller.wanted_limits

    @property
    def extra_restore_state_data(self) -> RestoredExtraData:
        """What was set."""
        return RestoredExtraData({_WANTED: self._wanted.get(self._key)})

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """What was set, which goes with the next policy."""
        return {_WANTED: self._wanted.get(self._key)}

    @property
    def native_value(self) -> int | None:
        """The limit in force as the controller has acknowledged it, None while there is none."""
        return next(
            (
                limit
                for group in POLICIES
                if (current := self.schedules.current(group)) is not None
                and (limit := getattr(current, self._key)) is not None
            ),
            None,
        )

    async def async_set_native_value(self, value: float) -> None:
        """Keep a limit, and renew the policies that are held with it."""
        before = self._wanted.get(self._key)
        self._wanted[self._key] = round(value)
        try:
            with controller_asked():
                await self.policies.async_limit(**{self._key: round(value)})
        except HomeAssistantError:
            self._wanted.pop(self._key)
            if before is not None:
                self._wanted[self._key] = before
            raise
        self.async_write_ha_state()
