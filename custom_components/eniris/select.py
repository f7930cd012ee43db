"""Selects: the policy that a group of a controller follows, held from here or left to the controller."""

from typing import Final

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .controller.controller import Controller
from .controller.policies import HeldPolicies
from .controller.schedules import POLICIES
from .data import EnirisConfigEntry
from .entity import EnirisScheduleEntity
from .schedule_calls import complete_limits, controller_asked

PARALLEL_UPDATES = 1

CONTROLLER_DECIDES: Final = "controller_decides"


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the policies of each controller that takes schedules."""
    for controller in entry.runtime_data.controllers.values():
        if controller.policies is not None:
            async_add_entities(
                [
                    EnirisPolicySelect(entry, controller, controller.policies, group)
                    for group in POLICIES
                ],
                config_subentry_id=controller.settings.id,
            )


class EnirisPolicySelect(EnirisScheduleEntity, SelectEntity):
    """The policy of the schedule that is in force, as the controller has acknowledged it."""

    def __init__(
        self,
        entry: EnirisConfigEntry,
        controller: Controller,
        policies: HeldPolicies,
        group: str,
    ) -> None:
        """Show and hold the policy of `group`."""
        key = f"{group}_policy"
        super().__init__(
            entry,
            controller,
            policies,
            SelectEntityDescription(key=key, translation_key=key),
        )
        self._group = group
        self._policies = {its.replace("-", "_"): its for its in POLICIES[group]}
        self._options = {policy: its for its, policy in self._policies.items()}

    @property
    def options(self) -> list[str]:
        """The policies that are known, and another one that is in force."""
        options = [CONTROLLER_DECIDES, *self._policies]
        current = self.current_option
        return options if current in (None, *options) else [*options, str(current)]

    @property
    def current_option(self) -> str | None:
        """The policy that is in force, None while the controller has not told."""
        current = self.schedules.current(self._group)
        if current is None:
            return CONTROLLER_DECIDES if self.schedules.is_known else None
        return self._options.get(current.policy, current.policy)

    async def async_select_option(self, option: str) -> None:
        """Hold a policy, or let the controller decide."""
        with controller_asked():
            if option == CONTROLLER_DECIDES:
                await self.policies.async_release(self._group)
            else:
                await self.policies.async_hold(
                    self._group,
                    self._policies.get(option, option),
                    complete_limits(self.controller, None, None),
                )
