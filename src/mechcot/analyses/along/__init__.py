"""What changes first along a student's training: answers, steps, commitment or hedging."""
