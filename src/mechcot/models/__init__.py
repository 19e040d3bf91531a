"""A checkpoint, its parts, how it is called, and edits of what happens inside it."""
