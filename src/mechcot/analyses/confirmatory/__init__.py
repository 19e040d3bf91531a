"""What was to be confirmed, and is it?"""
