"""The past of an export: what the recorder has, and how it is sent."""
