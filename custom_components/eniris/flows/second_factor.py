"""The steps of a second factor, between the password and the end of a log-in."""

from abc import ABCMeta, abstractmethod
import time
from typing import Any, Final

from homeassistant.config_entries import ConfigFlow, ConfigFlowResult
from homeassistant.const import CONF_USERNAME

from ..api import (
    Authentication,
    BadRequestError,
    ConflictError,
    EnirisError,
    PartialToken,
    RateLimitedError,
    RefreshToken,
    UnauthorizedError,
)
from ..api.auth import wants_second_factor
from ..const import CONF_AUTHENTICATION_URL, CONF_CODE, CONF_OTHER_WAY, LOGGER
from ..http import account_hosts, async_http_session
from .login_forms import DEFAULT_ADDRESSES, code_form, login_problem, quotes

TOTP: Final = "totp"
EMAIL_OTP: Final = "email_otp"


class SecondFactorFlow(ConfigFlow, metaclass=ABCMeta):
    """Ask for the code of a second factor."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._username = ""
        self._addresses = dict(DEFAULT_ADDRESSES)
        self._placeholders: dict[str, str] = {}
        self._partial: PartialToken | None = None
        self._factors: list[str] = []
        self._code_sent = False

    @abstractmethod
    async def _ask_again(self, errors: dict[str, str]) -> ConfigFlowResult:
        """Give the log-in up, and show the form for the next one."""

    @abstractmethod
    async def _complete(self, token: RefreshToken) -> ConfigFlowResult:
        """Go on with a token that is good for everything."""

    async def _ask_second_factor(self, partial: PartialToken) -> ConfigFlowResult:
        """Begin with the choice of a factor."""
        self._partial = partial
        self._factors = [TOTP, EMAIL_OTP]
        self._code_sent = False
        return await self.async_step_second_factor()

    @property
    def _authentication(self) -> Authentication:
        return Authentication(
            async_http_session(self.hass), account_hosts(self._addresses)
        )

    def _problem(self, key: str, err: EnirisError) -> str:
        """Return the translation key for a failed call to the host of address `key`; note what its text quotes."""
        self._placeholders = quotes(self._addresses[key], err)
        return login_problem(err)

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
            except EnirisError as err:
                errors["base"] = self._problem(CONF_AUTHENTICATION_URL, err)
                if isinstance(err, RateLimitedError):
                    # The code of an earlier e-mail may still be good
                    self._code_sent = True
                    errors["base"] = "too_many_emails"
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
            try:
                if code:
                    return await self._complete(await authenticate(self._partial, code))
                errors[CONF_CODE] = "code_missing"
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
            except EnirisError as err:
                errors["base"] = self._problem(CONF_AUTHENTICATION_URL, err)
                if isinstance(err, RateLimitedError):
                    errors["base"] = "too_many_codes"
        return self.async_show_form(
            step_id=factor,
            data_schema=code_form(),
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
