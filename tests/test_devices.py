"""Device discipline without a device: the tests of `device_cases.py`, in a process of their own.

What they register changes for good what torch takes for the accelerator (see `emulated.py`).
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("device_cases.py")
NAMES = [
    node.name
    for node in ast.parse(CASES.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]


@pytest.fixture(scope="module")
def done():
    """What pytest says of each case."""
    command = [sys.executable, "-m", "pytest", "-rA", "-n", "0", "-p", "no:cacheprovider", str(CASES)]
    return subprocess.run(
        command, cwd=CASES.parent.parent, capture_output=True, text=True, timeout=900
    ).stdout


@pytest.mark.parametrize("name", NAMES)
def test_on_two_emulated_devices(done, name):
    outcomes = re.findall(rf"^(\w+) \S+::{name}(?:\[|$| )", done, re.M)
    assert outcomes, done[-4000:]
    assert set(outcomes) == {"PASSED"}, done[-4000:]
