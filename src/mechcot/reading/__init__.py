"""What happens inside a model while it reads a trace: one pass, its numbers, and their store.

`inputs` says what is read and `spec` by whom, what is kept and where it goes; `prefix_tree`, `layout` and
`plan` lay it out; `reader` runs the model over it, `batch` is what a pass gave; `folder` does a whole
reading, group by group (`groups`), and survives being killed (`unfinished`).
"""
