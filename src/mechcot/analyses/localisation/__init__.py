"""Where between two checkpoints a hedge is lost: activations of one put into the other."""
