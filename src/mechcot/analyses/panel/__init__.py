"""How far several judges agree."""
