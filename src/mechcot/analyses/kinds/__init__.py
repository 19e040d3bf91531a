"""Kinds of step told by wording: how often they are mistaken, and what that does to the audit."""
