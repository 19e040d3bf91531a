"""Where in the weights a change sits."""
