"""Whether other training seeds of the student show the same change."""
