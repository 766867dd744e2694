"""Where the real samples of GFS, ERA5 and IFS are; nothing of them is in the project."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


def sample_path(name: str) -> Path:
    """Path of a sample by its name in the manifest; skips the test where the samples are absent."""
    root = Path(os.environ.get("BAROGRAPH_SAMPLE_DATA", PROJECT.parent / "shared" / "data"))
    path = root / name
    if not path.exists():
        pytest.skip(f"no sample {name} in {root}; set BAROGRAPH_SAMPLE_DATA")
    return path
