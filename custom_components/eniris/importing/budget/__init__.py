"""The budget of tokens: how often the account is polled, and what the rest is used for."""
