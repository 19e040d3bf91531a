"""The model organism: a tiny student trained here, in a world whose truth is known exactly."""
