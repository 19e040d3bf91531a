"""Teacher traces -> supervised rows with explicit loss spans -> a trained student."""

from mechcot.distill.job import Distilled, distill

__all__ = ["Distilled", "distill"]
