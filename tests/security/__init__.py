"""What must never happen, each with a test that fails when it does."""
