"""The steps of a log-in, which adding an account, re-authentication and reconfiguration share."""

from abc import ABCMeta, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
import math
import time
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigFlow, ConfigFlowResult
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import callback
from homeassistant.helpers.selector import (
    BooleanSelector,
    TextSelector,
    TextSelectorConfig,
)

from .account import account_hosts, address_problem, async_http_session
from .api import (
    CREDENTIAL_LIMIT,
    Authentication,
    BadRequestError,
    ConflictError,
    EnirisCertificateError,
    EnirisConnectionError,
    EnirisError,
    EnirisResponseError,
    EnirisStatusError,
    ForbiddenError,
    MethodNotAllowedError,
    NoPasswordError,
    NotFoundError,
    PartialToken,
    RateLimitedError,
    RefreshToken,
    ServerError,
    Session,
    UnauthorizedError,
)
from .api.auth import wants_second_factor
from .api.transport import send
from .const import (
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_CODE,
    CONF_INGRESS_URL,
    CONF_OTHER_WAY,
    LOGGER,
)

ADDRESSES: Final = (CONF_AUTHENTICATION_URL, CONF_API_URL, CONF_INGRESS_URL)

TOTP: Final = "totp"
EMAIL_OTP: Final = "email_otp"

CODE_SCHEMA: Final = vol.Schema(
    {
        # Not required: who has none turns on what is below
        vol.Optional(CONF_CODE): TextSelector(
            TextSelectorConfig(autocomplete="one-time-code")
        ),
        vol.Required(CONF_OTHER_WAY, default=False): BooleanSelector(),
    }
)

_KNOCK_TIMEOUT: Final = 10.0
_USUAL_WAIT: Final = 15 * 60
"""Seconds that are advised where the service asks to wait and does not say how long."""

ERROR_KEYS: Final[tuple[tuple[type[EnirisError], str], ...]] = (
    (RateLimitedError, "rate_limited"),
    (NoPasswordError, "no_password"),
    (EnirisCertificateError, "certificate"),
    (EnirisConnectionError, "cannot_connect"),
    (ServerError, "cannot_connect"),
    (EnirisResponseError, "unexpected_answer"),
    (NotFoundError, "unexpected_answer"),
    (MethodNotAllowedError, "unexpected_answer"),
    (EnirisError, "refused"),
)

OF_AN_ADDRESS: Final = ("cannot_connect", "certificate", "unexpected_answer")
"""Errors that can mean that the service has another address."""


class LoginFlow(ConfigFlow, metaclass=ABCMeta):
    """Log in, with or without a second factor; forget the password, hand over the token.

    A step that asks for the password sets `_ask` to itself, and `_log_in` does the rest.
    """

    _ask: Callable[[], Awaitable[ConfigFlowResult]]

    def __init__(self) -> None:
        """Start with nothing known."""
        self._username = ""
        self._addresses: dict[str, str] = {}
        self._proven: Mapping[str, str] = {}
        """Addresses that need no trial."""
        self._errors: dict[str, str] = {}
        """What the next form that asks for the password shows."""
        self._placeholders: dict[str, str] = {}
        self._partial: PartialToken | None = None
        self._factors = [TOTP, EMAIL_OTP]
        self._code_sent = False
        self._token: RefreshToken | None = None
        """What nobody uses yet; it is logged out where the dialog ends before somebody does."""

    @abstractmethod
    async def _logged_in(self, token: RefreshToken, user_id: int) -> ConfigFlowResult:
        """Go on with the account's id; whoever uses the token sets `_token` to None."""

    @abstractmethod
    def _address_errors(self, key: str, problem: str) -> dict[str, str]:
        """Return an error that is about an address, at what the form has to show it."""

    async def _ask_again(self, errors: dict[str, str]) -> ConfigFlowResult:
        """Give a log-in up, and show the form for the next one."""
        self._drop_token()
        self._errors = errors
        return await self._ask()

    def _take_errors(self) -> dict[str, str]:
        errors, self._errors = self._errors, {}
        return errors

    async def _log_in(self, password: str) -> ConfigFlowResult:
        """Log in with what was typed, and go on with the next step or with the same form again."""
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
        if errors := await self._knock():
            return await self._ask_again(errors)
        if isinstance(token, PartialToken):
            self._partial = token
            self._factors = [TOTP, EMAIL_OTP]
            self._code_sent = False
            return await self.async_step_second_factor()
        return await self._complete(token)

    def _input_errors(self, password: str) -> dict[str, str]:
        """Return what can be told to be wrong without asking the service."""
        errors: dict[str, str] = {}
        unusable = {
            key: problem
            for key in ADDRESSES
            if (problem := address_problem(self._addresses[key])) is not None
        }
        for key, problem in unusable.items():
            errors |= self._address_errors(key, problem)
        self._placeholders = {
            "addresses": ", ".join(self._addresses[key] or "–" for key in unusable)
        }
        for key, value in ((CONF_USERNAME, self._username), (CONF_PASSWORD, password)):
            if not value:
                errors[key] = "empty"
            elif len(value) > CREDENTIAL_LIMIT:
                errors[key] = "too_long"
        return errors

    async def _knock(self) -> dict[str, str]:
        """Return the error of the first new address behind which nobody answers.

        Whatever answers will do. No token goes along.
        """
        for key in (CONF_API_URL, CONF_INGRESS_URL):
            if not self._is_new(key):
                continue
            try:
                await send(
                    async_http_session(self.hass),
                    "GET",
                    f"{self._addresses[key].rstrip('/')}/",
                    timeout=_KNOCK_TIMEOUT,
                )
            except EnirisConnectionError as err:
                return self._failure(key, err)
            except EnirisStatusError:
                continue
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
            self._placeholders = self._quotes(CONF_API_URL, err)
            return self._address_errors(CONF_API_URL, "unexpected_answer")
        except EnirisError as err:
            return self._failure(CONF_API_URL, err)
        return {}

    async def async_step_second_factor(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose how to prove who they are."""
        return self.async_show_menu(step_id="second_factor", menu_options=self._factors)

    async def async_step_other_way(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let who has no code that works choose again."""
        options = [TOTP] if TOTP in self._factors else []
        if EMAIL_OTP in self._factors:
            options += [EMAIL_OTP, "resend"] if self._code_sent else ["resend"]
        return self.async_show_menu(
            step_id="other_way", menu_options=[*options, "password"]
        )

    async def async_step_password(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Go back to the form that asks for the password."""
        return await self._ask_again({})

    async def async_step_totp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the code of an authenticator app."""
        return await self._ask_code(TOTP, user_input, {})

    async def async_step_resend(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Have another code e-mailed."""
        self._code_sent = False
        return await self.async_step_email_otp()

    async def async_step_email_otp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Have a code e-mailed, and ask for it."""
        errors: dict[str, str] = {}
        wants_other_way = user_input is not None and user_input[CONF_OTHER_WAY]
        if not self._code_sent and not wants_other_way and self._partial is not None:
            # No code can have come yet; what was typed is the wish to try again
            user_input = None
            try:
                await self._authentication.request_email_otp(
                    self._partial, self.hass.config.language[:2]
                )
                self._code_sent = True
            except ConflictError:
                return await self._factor_missing(EMAIL_OTP)
            except UnauthorizedError:
                return await self._ask_again({"base": "login_expired"})
            except RateLimitedError as err:
                # The code of an earlier e-mail may still be good
                self._code_sent = True
                errors["base"] = "too_many_emails"
                self._placeholders = self._quotes(CONF_AUTHENTICATION_URL, err)
            except EnirisError as err:
                errors["base"] = self._problem(CONF_AUTHENTICATION_URL, err)
        return await self._ask_code(EMAIL_OTP, user_input, errors)

    async def _ask_code(
        self, factor: str, user_input: dict[str, Any] | None, errors: dict[str, str]
    ) -> ConfigFlowResult:
        if user_input is not None and self._partial is not None:
            if user_input[CONF_OTHER_WAY]:
                return await self.async_step_other_way()
            code = "".join(user_input.get(CONF_CODE, "").split())
            authenticate = (
                self._authentication.authenticate_totp
                if factor == TOTP
                else self._authentication.authenticate_email_otp
            )
            if not code:
                errors[CONF_CODE] = "code_missing"
            else:
                try:
                    return await self._complete(await authenticate(self._partial, code))
                except ConflictError as err:
                    if not err.says("INACTIVE"):
                        return await self._factor_missing(factor)
                    errors[CONF_CODE] = "code_expired"
                except UnauthorizedError:
                    if await self._has_expired(self._partial):
                        return await self._ask_again({"base": "login_expired"})
                    errors[CONF_CODE] = "invalid_code"
                except BadRequestError:
                    errors[CONF_CODE] = "invalid_code"
                except RateLimitedError as err:
                    errors["base"] = "too_many_codes"
                    self._placeholders = self._quotes(CONF_AUTHENTICATION_URL, err)
                except EnirisError as err:
                    errors["base"] = self._problem(CONF_AUTHENTICATION_URL, err)
        return self.async_show_form(
            step_id=factor,
            data_schema=CODE_SCHEMA,
            errors=errors,
            description_placeholders={
                CONF_USERNAME: self._username,
                **self._placeholders,
            },
        )

    async def _has_expired(self, partial: PartialToken) -> bool:
        """Tell whether it is the partial token that was refused, rather than the code.

        Both are a 401. A good partial token is refused as one that lacks the second factor where a
        full one is wanted, any other is not.
        """
        try:
            await self._authentication.access_token(
                RefreshToken(partial.value, time.time())
            )
        except UnauthorizedError as err:
            return not wants_second_factor(err)
        except EnirisError as err:
            LOGGER.debug("Whether the log-in has expired is not known: %s", err)
        return False

    async def _factor_missing(self, factor: str) -> ConfigFlowResult:
        """Offer what is left, when the account has not set up the factor that was chosen."""
        self._factors = [other for other in self._factors if other != factor]
        if not self._factors:
            return self.async_abort(reason="no_second_factor")
        return await (
            self.async_step_no_totp()
            if factor == TOTP
            else self.async_step_no_email_otp()
        )

    async def async_step_no_totp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Tell that the account has no authenticator app."""
        return self.async_show_menu(
            step_id="no_totp", menu_options=[EMAIL_OTP, "password"]
        )

    async def async_step_no_email_otp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Tell that the account gets no codes by e-mail."""
        return self.async_show_menu(
            step_id="no_email_otp", menu_options=[TOTP, "password"]
        )

    @property
    def _authentication(self) -> Authentication:
        return Authentication(
            async_http_session(self.hass), account_hosts(self._addresses)
        )

    def _failure(self, key: str, err: EnirisError) -> dict[str, str]:
        """Return the error of a call to the host of address `key`."""
        problem = self._problem(key, err)
        if problem in OF_AN_ADDRESS:
            return self._address_errors(key, problem)
        return {"base": problem}

    def _problem(self, key: str, err: EnirisError) -> str:
        self._placeholders = self._quotes(key, err)
        if isinstance(err, EnirisStatusError) and 300 <= err.status < 400:
            return "unexpected_answer"
        return next(problem for kind, problem in ERROR_KEYS if isinstance(err, kind))

    def _quotes(self, key: str, err: EnirisError) -> dict[str, str]:
        """Return what the error texts can quote."""
        wait = err.retry_after if isinstance(err, RateLimitedError) else None
        minutes = math.ceil((_USUAL_WAIT if wait is None else wait) / 60)
        return {
            "address": self._addresses[key],
            "error": str(err),
            "minutes": str(max(1, minutes)),
        }

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
