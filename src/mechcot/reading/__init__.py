"""What happens inside a model while it reads a trace: one pass, its numbers, and their store.

`inputs` says what is read, `prefix_tree` and `plan` lay it out, `reader` runs the model over it,
`activations` is the store on disk, `folder` does a whole reading and survives being killed.
"""
