"""What the next step owes to the text before it, and what to the weights that write it."""
