"""When a trace settles on its answer: of a study, or of your own tables (`curves`)."""

from mechcot.analyses.commitment.analysis import compare, curves
from mechcot.analyses.commitment.cross import two_by_two
from mechcot.analyses.commitment.variants import depth, lead_ins, orders

__all__ = ["compare", "curves", "depth", "lead_ins", "orders", "two_by_two"]
