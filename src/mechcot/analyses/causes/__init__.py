"""Which steps of a trace matter to its answer, and whether it matters that they are wrong."""
