"""Where doubt lies in the residual stream."""
