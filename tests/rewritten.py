"""Studies that a test has written into by hand, as if their stages had written it."""

from pathlib import Path

from mechcot.core.digests import Digests
from mechcot.core.manifest import load_manifest, output_digests, save_manifest


def as_written(root: Path) -> None:
    """Record what the files of a study hold now."""
    manifest = load_manifest(root)
    for record in manifest["stages"].values():
        there = tuple(name for name in record["outputs"] if (root / name).exists())
        found = output_digests(root, there, Digests(root))
        record["outputs"] |= found["outputs"]
        record["files"] = found["files"]
    save_manifest(root, manifest)
