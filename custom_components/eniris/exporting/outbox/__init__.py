"""The outbox: samples that are not stored yet, in memory or on disk."""
