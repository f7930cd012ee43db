"""Who may log in, with what, and to do what."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

WRITER_ROLE = "CustomerName"

# Documented and public: it guards nothing but the demo
DEMO_TOTP_SECRET = "JBSWY3DPEHPK3PXP"  # noqa: S105


def _writer() -> set[str]:
    return {WRITER_ROLE}


@dataclass(slots=True)
class Account:
    """One log-in.

    password: None for an account whose password is kept elsewhere, which answers 500 `NO_PASSWORD_INFO`.
    totp_secret: base32 secret of an authenticator app, None without that factor.
    email_otp: whether codes by e-mail are set up as a factor.
    roles: telemetry is written only by a member of the role `CustomerName`.
    """

    username: str
    user_id: int
    password: str | None
    totp_secret: str | None = None
    email_otp: bool = False
    roles: set[str] = field(default_factory=_writer)

    @property
    def has_second_factor(self) -> bool:
        """Whether a password alone yields only a partial token."""
        return self.totp_secret is not None or self.email_otp

    @property
    def can_write(self) -> bool:
        """Whether the account may write telemetry."""
        return WRITER_ROLE in self.roles


class Accounts:
    """All accounts, by user name and by id."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        """Take over the accounts."""
        self._by_name = {account.username: account for account in accounts}

    def __iter__(self) -> Iterator[Account]:
        """Go through the accounts."""
        return iter(self._by_name.values())

    def __getitem__(self, username: str) -> Account:
        """Return the account with a user name; KeyError if there is none."""
        return self._by_name[username]

    def get(self, username: str) -> Account | None:
        """Return the account with a user name."""
        return self._by_name.get(username)

    def by_id(self, user_id: int) -> Account | None:
        """Return the account with an id."""
        return next((account for account in self if account.user_id == user_id), None)

    def add(self, account: Account) -> None:
        """Add or replace an account."""
        self._by_name[account.username] = account


def demo_accounts() -> Accounts:
    """Return the documented accounts; every password is `demo`.

    | user name | what is particular |
    | --- | --- |
    | `demo@example.com` | nothing |
    | `totp@example.com` | authenticator app, secret `JBSWY3DPEHPK3PXP` |
    | `email@example.com` | codes by e-mail, to be read through the control API |
    | `both@example.com` | both factors |
    | `norole@example.com` | reads, but may not write |
    | `nopassword@example.com` | 500 `NO_PASSWORD_INFO` |
    """
    return Accounts(
        (
            Account("demo@example.com", 1001, "demo"),
            Account("totp@example.com", 1002, "demo", totp_secret=DEMO_TOTP_SECRET),
            Account("email@example.com", 1003, "demo", email_otp=True),
            Account(
                "both@example.com",
                1004,
                "demo",
                totp_secret=DEMO_TOTP_SECRET,
                email_otp=True,
            ),
            Account("norole@example.com", 1005, "demo", roles=set()),
            Account("nopassword@example.com", 1006, None),
        )
    )
