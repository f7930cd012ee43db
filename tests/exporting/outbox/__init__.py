"""The outbox, module by module."""
