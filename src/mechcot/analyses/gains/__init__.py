"""Which questions a gain of the vote came from."""
