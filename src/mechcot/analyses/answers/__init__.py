"""What happened to the answers."""
