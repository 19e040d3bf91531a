"""Instruments: who says whether a step holds."""
