"""What is left of a change where nothing is drawn."""
