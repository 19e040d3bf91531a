"""Other arms and other questions beside the headline's."""
