"""The log-in that adding an account, re-authentication and reconfiguration share."""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import callback

from ..api import (
    Authentication,
    EnirisConnectionError,
    EnirisError,
    EnirisStatusError,
    ForbiddenError,
    PartialToken,
    RateLimitedError,
    RefreshToken,
    Session,
    UnauthorizedError,
)
from ..api.transport import send
from ..const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    LOGGER,
)
from ..http import account_hosts, address_problem, async_http_session
from .login_forms import (
    DEFAULT_ADDRESSES,
    OF_AN_ADDRESS,
    credential_errors,
    password_form,
)
from .second_factor import SecondFactorFlow

_REACH_TIMEOUT: Final = 10.0


class LoginFlow(SecondFactorFlow, metaclass=ABCMeta):
    """Log in, with or without a second factor; forget the password, hand over the token.

    A step that asks for the password is one call of `_ask_password`.
    """

    def __init__(self) -> None:
        """Start with the addresses that Eniris has for everybody."""
        super().__init__()
        self._proven: Mapping[str, str] = DEFAULT_ADDRESSES
        """Addresses that need no trial."""
        self._step = ""
        """The step that asks for the password."""
        self._password = ""
        """What was typed, while it is tried."""
        self._token: RefreshToken | None = None
        """What nobody uses yet; it is logged out where the dialog ends before somebody does."""

    @abstractmethod
    async def _logged_in(self, token: RefreshToken, user_id: int) -> ConfigFlowResult:
        """Go on with the account's id; whoever uses the token sets `_token` to None."""

    async def _ask_password(
        self, step_id: str, user_input: dict[str, Any] | None
    ) -> ConfigFlowResult:
        """Ask for the password, and for what else the form of the step has; log in with that."""
        self._step = step_id
        if user_input is None:
            return self._show_password_form({})
        self._username = user_input.get(CONF_USERNAME, self._username).strip()
        typed = user_input.get(CONF_ADVANCED, user_input)
        self._addresses |= {
            key: typed[key].strip() for key in self._addresses if key in typed
        }
        return await self._log_in(user_input[CONF_PASSWORD])

    def _show_password_form(self, errors: dict[str, str]) -> ConfigFlowResult:
        collapsed = not (
            errors.keys() & self._addresses.keys()
            or any(map(self._is_new, self._addresses))
        )
        shown = {
            CONF_USERNAME: self._username,
            **(
                {CONF_PASSWORD: self._password}
                if self._password and CONF_PASSWORD not in errors
                else {}
            ),
            CONF_ADVANCED: self._addresses,
            **self._addresses,
        }
        quoted = {
            CONF_USERNAME: self._username,
            **{f"default_{key}": url for key, url in DEFAULT_ADDRESSES.items()},
        }
        return self.async_show_form(
            step_id=self._step,
            data_schema=self.add_suggested_values_to_schema(
                password_form(self._step, collapsed=collapsed), shown
            ),
            errors=errors,
            description_placeholders={
                **(quoted if self._step != "user" else {}),
                **self._placeholders,
            },
        )

    async def _ask_again(self, errors: dict[str, str]) -> ConfigFlowResult:
        """Give a log-in up, and show the form for the next one."""
        self._drop_token()
        return self._show_password_form(errors)

    async def _log_in(self, password: str) -> ConfigFlowResult:
        """Log in with what was typed, and go on with the next step or with the same form again.

        The form has the password still, unless that was wrong; this dialog does not.
        """
        self._password = password
        try:
            return await self._try_password(password)
        finally:
            self._password = ""

    async def _try_password(self, password: str) -> ConfigFlowResult:
        if errors := self._input_errors(password):
            return await self._ask_again(errors)
        try:
            token = await self._authentication.login(self._username, password)
        except UnauthorizedError:
            return await self._ask_again({CONF_PASSWORD: "invalid_auth"})
        except EnirisError as err:
            return await self._ask_again(self._failure(CONF_AUTHENTICATION_URL, err))
        if isinstance(token, RefreshToken):
            self._token = token
        # Before a code is asked for, which may have to be e-mailed
        if errors := await self._check_reachable():
            return await self._ask_again(errors)
        if isinstance(token, PartialToken):
            return await self._ask_second_factor(token)
        return await self._complete(token)

    def _input_errors(self, password: str) -> dict[str, str]:
        """Return what can be told to be wrong without asking the service."""
        errors: dict[str, str] = {}
        unusable = []
        for key, address in self._addresses.items():
            if problem := address_problem(address):
                errors |= self._address_errors(key, problem)
                unusable.append(address or "–")
        self._placeholders = {"addresses": ", ".join(unusable)}
        return errors | credential_errors(self._username, password)

    def _address_errors(self, key: str, problem: str) -> dict[str, str]:
        """Return an error that is about an address, at its field, above the form, or both.

        The frontend shows no errors at the fields of a section.
        """
        if self._step == "addresses":
            return {key: problem}
        if self._step != "user" or not self._is_new(key):
            return {"base": problem}
        # Words for a field would not say which one
        above = problem if problem in OF_AN_ADDRESS else "advanced_invalid"
        return {"base": above, key: problem}

    async def _check_reachable(self) -> dict[str, str]:
        """Return the error of the first new address behind which nobody answers, or somebody else.

        No token goes along. Of the api host whatever answers will do, since it is asked with the token later. The
        ingress has to refuse an empty write without a token, in the service's own JSON.
        """
        for key, method, path in (
            (CONF_API_URL, "GET", "/"),
            (CONF_INGRESS_URL, "POST", "/v1/telemetry"),
        ):
            if not self._is_new(key):
                continue
            is_refused = False
            try:
                await send(
                    async_http_session(self.hass),
                    method,
                    f"{self._addresses[key].rstrip('/')}{path}",
                    timeout=_REACH_TIMEOUT,
                )
            except EnirisConnectionError as err:
                return self._failure(key, err)
            except EnirisStatusError as err:
                is_refused = bool(err.error or err.message)
                self._problem(key, err)
            if key == CONF_INGRESS_URL and not is_refused:
                return self._address_errors(key, "unexpected_answer")
        return {}

    def _is_new(self, key: str) -> bool:
        return self._addresses[key].rstrip("/") != self._proven[key].rstrip("/")

    async def _complete(self, token: RefreshToken) -> ConfigFlowResult:
        """Find out whose token it is, and whether the api host takes it where that is new."""
        self._token = token
        try:
            user_id = await self._authentication.validate(token)
        except EnirisError as err:
            return await self._ask_again(self._failure(CONF_AUTHENTICATION_URL, err))
        if (self._is_new(CONF_AUTHENTICATION_URL) or self._is_new(CONF_API_URL)) and (
            errors := await self._try_api(token)
        ):
            return await self._ask_again(errors)
        return await self._logged_in(token, user_id)

    async def _try_api(self, token: RefreshToken) -> dict[str, str]:
        session = Session(
            async_http_session(self.hass), token, account_hosts(self._addresses)
        )
        try:
            await session.companies()
        except (ForbiddenError, RateLimitedError):
            # So speaks a service that knows the account
            return {}
        except UnauthorizedError as err:
            self._problem(CONF_API_URL, err)
            return self._address_errors(CONF_API_URL, "unexpected_answer")
        except EnirisError as err:
            return self._failure(CONF_API_URL, err)
        return {}

    def _failure(self, key: str, err: EnirisError) -> dict[str, str]:
        """Return the error of a call to the host of address `key`."""
        problem = self._problem(key, err)
        if problem in OF_AN_ADDRESS:
            return self._address_errors(key, problem)
        return {"base": problem}

    @callback
    def async_remove(self) -> None:
        """Log out again where nothing came of the log-in."""
        self._drop_token()

    @callback
    def _drop_token(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            self.hass.async_create_task(
                discard_token(self._authentication, token), "eniris logout"
            )


async def discard_token(authentication: Authentication, token: RefreshToken) -> None:
    """Log out a token that nobody will use."""
    try:
        await authentication.logout(token)
    except EnirisError as err:
        LOGGER.debug("A token that is not needed was not logged out: %s", err)
