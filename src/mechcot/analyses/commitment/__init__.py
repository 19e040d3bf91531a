"""When a trace settles on its answer: of a study, or of your own tables (`curves`)."""

from mechcot.analyses.commitment.analysis import compare, curves
from mechcot.analyses.commitment.cross import two_by_two

__all__ = ["compare", "curves", "two_by_two"]
