"""Weights in a file: one line for an epoch, whatever ends the writer."""

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapters.sinks import file as file_sink
from adapters.sinks.file import FileSink
from adapters.sinks.port import Submitted
from protocol.weights import WeightsPayload, publication_key
from tests.unit.protocol.test_weights import payload
from weather.faults import StoreUnavailable


def key_of(made: WeightsPayload) -> str:
    return publication_key(made.network, made.epoch, "file", made.shares_digest)


def submit(folder: Path, *epochs: int) -> None:
    for epoch in epochs:
        made = payload(epoch=epoch)
        assert FileSink(folder).submit(made, key_of(made)) == Submitted("submitted", key_of(made))


def confirmed(folder: Path, epoch: int) -> bool:
    return FileSink(folder).confirm(payload(epoch=epoch), key_of(payload(epoch=epoch)))


def lines(folder: Path) -> list[bytes]:
    return (folder / "weights" / "test.jsonl").read_bytes().splitlines(keepends=True)


def line(epoch: int) -> bytes:
    made = payload(epoch=epoch)
    return b'{"key":"%s","weights":%s}\n' % (key_of(made).encode(), made.canonical)


def killed_before(statement: int, folder: Path) -> bool:
    """Write two epochs in a child that dies before its n-th statement in the sink; False once there are fewer."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = statement

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        left -= event == "line"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    try:
        sys.settrace(lambda frame, *_: trace if frame.f_code.co_filename == file_sink.__file__ else None)
        submit(folder, 1, 2)
    finally:
        os._exit(0)


def test_ten_epochs_of_one_vector_are_ten_lines_that_differ_in_the_epoch_alone(tmp_path: Path) -> None:
    """AT-P2 in a file."""
    submit(tmp_path, *range(1, 11), *range(10, 0, -1))
    assert lines(tmp_path) == [line(epoch) for epoch in range(1, 11)]
    written = [json.loads(each)["weights"] | {"epoch": 0} for each in lines(tmp_path)]
    assert written == [payload(epoch=0).value] * 10


def test_only_the_very_line_is_confirmed(tmp_path: Path) -> None:
    assert not confirmed(tmp_path, 1)
    submit(tmp_path, 1)
    assert confirmed(tmp_path, 1)
    assert not confirmed(tmp_path, 2)
    other = payload(epoch=1, head=3)
    assert not FileSink(tmp_path).confirm(other, key_of(other))


def test_a_writer_killed_between_any_two_statements_leaves_one_line_after_the_next_attempt(tmp_path: Path) -> None:
    """AT-P3 within the sink."""
    statement, left_behind = 0, set()
    while killed_before(statement, folder := tmp_path / str(statement)):
        left_behind.add(len(lines(folder)) if (folder / "weights" / "test.jsonl").exists() else None)
        submit(folder, 1, 2)
        assert lines(folder) == [line(1), line(2)]
        statement += 1
    assert statement > 30
    assert left_behind == {None, 0, 1, 2}
    assert lines(folder) == [line(1), line(2)]


def test_a_torn_last_line_is_cut_wherever_it_broke(tmp_path: Path) -> None:
    """AT-P5: repaired by the next write, nothing lost or doubled."""
    submit(tmp_path, 1, 2)
    whole = line(1) + line(2)
    for size in range(len(line(1)), len(whole)):
        (tmp_path / "weights" / "test.jsonl").write_bytes(whole[:size])
        assert not confirmed(tmp_path, 2)
        submit(tmp_path, *((1, 2) if size % 2 else (3,)))
        assert lines(tmp_path) == ([line(1), line(2)] if size % 2 else [line(1), line(3)])


def test_a_torn_line_behind_a_known_key_is_cut_too(tmp_path: Path) -> None:
    submit(tmp_path, 1)
    (tmp_path / "weights" / "test.jsonl").write_bytes(line(1) + line(2)[:-1])
    submit(tmp_path, 1)
    assert lines(tmp_path) == [line(1)]


def test_writers_at_once_write_each_epoch_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: submit(tmp_path, number // 4), range(40)))
    assert sorted(lines(tmp_path)) == sorted(line(epoch) for epoch in range(10))


def test_a_folder_that_cannot_be_written_is_our_fault(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        submit(tmp_path, 1)
