"""Whether wrong claims were known."""
