"""When a trace settles on its answer."""
