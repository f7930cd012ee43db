"""Tests of the client of the Eniris cloud, over loopback and without a Home Assistant."""
