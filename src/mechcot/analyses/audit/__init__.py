"""What happened to the steps."""
