"""What a study will take before anything of it is there: a model of throughput whose constants are told."""
