"""How often the models hedge in words, and whether their hedges mark errors."""
