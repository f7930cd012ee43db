"""The forms: of an account, its options, and its exports."""
