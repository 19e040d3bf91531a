"""Where the split of answers and steps appears and where it does not, over several studies."""
