"""What a study will take before anything of it is there: a cost model whose constants are told."""
