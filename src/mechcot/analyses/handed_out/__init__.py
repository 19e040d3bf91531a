"""What is handed out to people and read back: sealed keys, pages that stand alone, filled tables."""
