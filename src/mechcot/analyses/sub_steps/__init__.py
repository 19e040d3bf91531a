"""Whether the right sub-steps stand inside a model, whatever its traces say."""
