"""A study in miniature: every stage of a settings file on tiny checkpoints and twenty invented questions."""
