"""Rows on disk while the database is away."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.rows import full_row, make_row

from plexus_proxy.usage.spool import Spool, SpoolFull


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spool"


def rows_in(spool: Spool) -> list[str]:
    return [row.request_id for segment in spool.claim() for row in segment.rows()]


def test_rows_come_back_whole_and_in_order(folder: Path) -> None:
    spool = Spool(folder)
    rows = [full_row(), make_row(error_message="line\nbreak \u2028"), full_row()]
    spool.append(rows[:2])
    spool.append(rows[2:])
    assert [row for segment in spool.claim() for row in segment.rows()] == rows
    spool.close()


def test_a_finished_segment_is_gone(folder: Path) -> None:
    spool = Spool(folder)
    spool.append([make_row()])
    assert spool.waiting
    for segment in spool.claim():
        spool.finish(segment)
    assert not spool.waiting
    assert list(folder.iterdir()) == []


def test_rows_appended_after_a_claim_wait_for_the_next_one(folder: Path) -> None:
    spool = Spool(folder)
    spool.append([make_row(request_id="a")])
    claimed = spool.claim()
    spool.append([make_row(request_id="b")])
    assert [row.request_id for segment in claimed for row in segment.rows()] == ["a"]
    for segment in claimed:
        spool.finish(segment)
    assert rows_in(spool) == ["b"]
    spool.close()


def test_nothing_is_written_before_there_is_a_row(folder: Path) -> None:
    spool = Spool(folder)
    assert spool.claim() == []
    spool.close()
    assert not folder.exists()


def test_only_the_owner_can_read_the_files(folder: Path) -> None:
    spool = Spool(folder)
    spool.append([make_row()])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]
    spool.close()


def test_what_a_living_process_holds_is_left_alone(folder: Path) -> None:
    one, other = Spool(folder), Spool(folder)
    one.append([make_row(request_id="mine")])
    assert rows_in(other) == []
    one.close()
    assert rows_in(other) == ["mine"]
    other.close()


CRASH = """
import os, signal, sys
from pathlib import Path
from plexus_proxy.usage.spool import Spool
from support.rows import make_row

spool = Spool(Path(sys.argv[1]))
spool.append([make_row(request_id="kept")])
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_rows_of_a_killed_process_are_taken_over(folder: Path) -> None:
    path = f"{Path(__file__).parents[1]}:{Path.cwd()}"
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH, str(folder)], env={"PYTHONPATH": path}, check=False
    )
    assert crashed.returncode == -signal.SIGKILL
    spool = Spool(folder)
    assert rows_in(spool) == ["kept"]
    spool.close()


def test_a_line_cut_by_a_crash_does_not_hide_the_others(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(folder)
    spool.append([make_row(request_id="a"), make_row(request_id="b")])
    (path,) = folder.iterdir()
    os.truncate(path, path.stat().st_size - 20)
    assert rows_in(spool) == ["a"]
    assert "1 unreadable usage rows" in caplog.text
    spool.close()


def test_large_spools_are_cut_into_segments(folder: Path) -> None:
    spool = Spool(folder, segment_bytes=1000)
    for _ in range(10):
        spool.append([make_row(), make_row()])
    assert len(spool.claim()) > 2
    assert len(rows_in(spool)) == 20
    spool.close()


def test_a_full_spool_says_so_and_keeps_what_it_has(folder: Path) -> None:
    spool = Spool(folder, limit_bytes=2000)
    spool.append([make_row(request_id="kept")])
    with pytest.raises(SpoolFull):
        spool.append([full_row() for _ in range(5)])
    assert rows_in(spool) == ["kept"]
    spool.close()


def test_text_that_is_no_unicode_does_not_stop_the_spool(folder: Path) -> None:
    spool = Spool(folder)
    spool.append([make_row(request_id="a", alias="\ud800x")])
    (row,) = spool.claim()[0].rows()
    assert row.alias == "?x"
    spool.close()


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    spool = Spool(folder)
    assert spool.claim() == []
    assert (folder / "notes.txt").read_text() == "mine"
