"""Whether right traces go with right answers, sub-step by sub-step, and whether answers follow traces."""
