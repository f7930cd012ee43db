"""Tests of the way from the cloud to Home Assistant."""
