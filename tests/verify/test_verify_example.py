"""examples/verify.py: what it plants is what the report names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import examples.verify
from examples.verify import FORGOTTEN, main
from unstale.tools.verify.summary import summary_of


def test_what_it_plants_is_named(tmp_path: Path, capsys: object) -> None:
    """The order that was changed in silence, and no other; the page with a time in it."""
    log = tmp_path / "verify.jsonl"
    main(log, 6.0, rate=0.2, limit=2.0)
    [found] = summary_of([log]).found
    verification = found.verification
    assert {(one.key, one.tags, one.stood) for one in verification.lost} == {
        (f"orders:{FORGOTTEN}", (f"order:{FORGOTTEN}",), True)
    }
    assert verification.kinds["front-page"].always_differs
    assert verification.kinds["orders:*"].same > 0


def test_without_a_log_it_says_how_it_is_used() -> None:
    """Not a traceback."""
    ended = subprocess.run([sys.executable, examples.verify.__file__], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("usage: python examples/verify.py LOG")
