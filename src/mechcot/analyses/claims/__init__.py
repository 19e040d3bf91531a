"""What two papers claim, beside what a study says of it."""
