"""Studies that a test has written into by hand, as if their stages had written it."""

from pathlib import Path

from mechcot.core import files
from mechcot.core.manifest import load_manifest, save_manifest


def as_written(root: Path) -> None:
    """Record what the files of a study hold now."""
    manifest = load_manifest(root)
    for record in manifest["stages"].values():
        for name in record["outputs"]:
            if (root / name).exists():
                record["outputs"][name] = files.digest(root / name)
    save_manifest(root, manifest)
