"""Tests of the simulator: that it refuses what the service refuses."""
