"""Where Home Assistant looks for integrations of others."""
