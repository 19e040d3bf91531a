"""The same claims with a hedge and without: what changes behind the word, and what of that is the word."""
