"""What a study gives out in forms that others read: rows of step labels, and cards."""
