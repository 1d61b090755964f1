"""What the golden streams become. `pytest --update-golden` rewrites; the diff is reviewed."""

from pathlib import Path

import pytest
from support.golden import CASES, IDS, expected_files


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_golden_stream_becomes_what_was_written_down(case: Path, update_golden: bool) -> None:
    for name, content in expected_files(case).items():
        if update_golden:
            (case / name).write_text(content, newline="")
        assert (case / name).read_text() == content, f"{case.name}/{name}"
