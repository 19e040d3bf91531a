"""Teacher traces -> supervised rows with explicit loss spans -> a trained student."""

from mechcot.distill.job import distill, prepare

__all__ = ["distill", "prepare"]
