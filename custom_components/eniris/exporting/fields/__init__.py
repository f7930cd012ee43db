"""Fields of the telemetry: their names, units and kinds, and the values that states have as such."""
