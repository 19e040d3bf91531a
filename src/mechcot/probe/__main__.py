"""`python -m mechcot.probe` is `mechcot probe`."""

from mechcot.core.offers import offered

if __name__ == "__main__":
    offered("main")("probe")
