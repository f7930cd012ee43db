"""Tests of the controller's part: what it pushes, and its schedules."""
