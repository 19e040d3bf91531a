"""How far two true ways of running one model may differ."""

from __future__ import annotations

import torch

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.25}
"""Largest difference allowed: nats, and for activations and logits the share of the largest entry.

Two correct ways of running one model differ by rounding alone, which grows with depth: on tiny
random models (weights of scale 0.3) up to 4e-6 in float32, 0.02 in float16 and 0.05 in bfloat16 (0.19
with a mixture of experts, whose router may tip). On models of the same shapes with weights of scale
0.02, whose outputs hardly depend on their text, a sliding window that is off by one shows as 0.05.
"""


def allowed_for(dtype: torch.dtype) -> float:
    """The largest difference allowed in a dtype."""
    return TOLERANCE.get(dtype, 1e-3)
