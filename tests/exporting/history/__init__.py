"""Tests of the past that an export sends."""
