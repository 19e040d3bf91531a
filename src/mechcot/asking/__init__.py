"""Servers that are asked: calls, what they cost, and the replies that are kept."""
