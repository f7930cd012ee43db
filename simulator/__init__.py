"""A stand-in for the Eniris cloud, for tests, for the demo and for whoever has no account."""
