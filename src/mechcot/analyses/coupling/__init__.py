"""Whether wrong steps and wrong answers go together."""
