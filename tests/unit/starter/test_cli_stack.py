"""What `up` remembers, what it refuses, and processes that end when they are told to."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from adapters import temporal_server
from adapters.ledger.engine import revisions
from starter.cli import run
from starter.embedded import _listening
from starter.embedded_run import STACK_FILE, stack_in
from starter.ports import LOOPBACK, free_ports
from starter.state_folder import open_state_folder
from weather.faults import ConfigurationInvalid

pytestmark = pytest.mark.usefixtures("environment")
VERSION = temporal_server.binary_version(temporal_server.find_binary())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run([*arguments])
    out, error = capsys.readouterr()
    assert out == ""
    return code, error


def test_a_folder_keeps_its_grid_and_its_ports(tmp_path: Path) -> None:
    folder = open_state_folder(tmp_path, VERSION)
    first = stack_in(folder, "5p625")
    assert stack_in(folder) == first and first.world.grid == "5p625"
    assert stack_in(folder, ui=False).ports.ui is None and stack_in(folder).ports.ui == first.ports.ui
    assert sorted(vars(stack_in(folder, port_base=20_000).ports).values()) == list(range(20_000, 20_008))
    assert stack_in(folder).ports.temporal == 20_000
    with pytest.raises(ConfigurationInvalid, match="found 5p625-small; expected 5p625"):
        stack_in(folder, "5p625-small")
    folder.close()


@pytest.mark.parametrize("content", ["", "{}", '{"grid": "5p625", "ports": {"temporal": "x"}}'])
def test_a_corrupt_stack_file_is_refused_and_left_as_it_is(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / STACK_FILE).write_text(content)
    code, error = refused(capsys, "up", "--state", str(tmp_path))
    assert code == 4 and STACK_FILE in error
    assert (tmp_path / STACK_FILE).read_text() == content


def test_a_corrupt_database_is_refused_and_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ledger.db", "temporal.db"):
        (tmp_path / name).write_bytes(b"not a database" * 100)
        code, error = refused(capsys, "up", "--state", str(tmp_path))
        assert code == 4 and name in error and "backup" in error
        assert (tmp_path / name).read_bytes() == b"not a database" * 100
        (tmp_path / name).unlink()


def test_a_folder_in_use_an_unknown_grid_and_no_folder_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = open_state_folder(tmp_path / "used", VERSION)
    assert refused(capsys, "up", "--state", str(folder.root))[0] == 4
    folder.close()
    code, error = refused(capsys, "up", "--state", str(tmp_path / "new"), "--grid", "0p1")
    assert code == 4 and "found 0p1" in error and not (tmp_path / "new" / STACK_FILE).exists()
    (tmp_path / "file").touch()
    assert refused(capsys, "up", "--state", str(tmp_path / "file"))[0] == 4


def test_a_port_that_is_taken_is_not_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = min(taken.getsockname()[1], 65_531)
        code, error = refused(capsys, "up", "--state", str(tmp_path), "--port-base", str(port))
        assert code == 3 and f"port {port} for temporal is taken" in error


def test_the_schema_is_brought_to_the_newest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    for before in (None, revisions(url)[1]):
        assert run(["db", "upgrade", "--url", url, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["before"], told["after"]) == (before, revisions(url)[1])
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE alembic_version SET version_num = '0012'")
    code, error = refused(capsys, "db", "upgrade", "--url", url)
    assert code == 3 and f"found 0012; expected {revisions(url)[1]}" in error
    assert refused(capsys, "db", "upgrade", "--url", "mysql://h/d")[0] == 4
    assert refused(capsys, "db", "upgrade", "--url", f"sqlite:///{tmp_path}/no/ledger.db")[0] == 3


def test_settings_of_a_worker_that_do_not_hold_are_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = refused(capsys, "worker", "--mode", "standby")
    assert code == 2 and "'hybrid'" in error and "TEMPORAL_ADDRESS" in error


def test_files_of_servers_that_do_not_hold_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings"
    assert refused(capsys, "archive", "serve", "--settings", str(file))[0] == 2
    file.write_text("{}")
    code, error = refused(capsys, "archive", "serve", "--settings", str(file))
    assert code == 2 and "port" in error and error.count("\n") == 1
    code, error = refused(capsys, "miners", "serve", "--config", str(file))
    assert code == 4 and error.count("\n") == 1


@pytest.mark.parametrize(("signals", "code"), [((signal.SIGTERM,), 0), ((signal.SIGINT, signal.SIGTERM), 130)])
async def test_the_first_signal_ends_in_order_and_the_second_at_once(
    signals: tuple[signal.Signals, ...], code: int
) -> None:
    program = (
        "import asyncio; from starter.commands.serve import until_signalled\n"
        "async def serve(stop):\n"
        "    print('ready', flush=True)\n"
        "    await stop.wait()\n"
        "    print('draining', flush=True)\n"
        f"    await asyncio.sleep({3600 * (len(signals) - 1)})\n"
        "asyncio.run(until_signalled(serve))"
    )
    serving = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert serving.stdout is not None
    for number, line in zip(signals, (b"ready\n", b"draining\n"), strict=False):
        assert await serving.stdout.readline() == line
        serving.send_signal(number)
    assert await serving.wait() == code


async def test_the_archive_ends_when_it_is_told_to(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = {"port": port, "grid_name": "5p625-small", "levels": [500], "seed": 1, "product": "pgrb2.5p62"}
    (tmp_path / "archive.json").write_text(json.dumps(settings))
    command = (sys.executable, "-m", "starter", "archive", "serve", "--settings", str(tmp_path / "archive.json"))
    serving = await asyncio.create_subprocess_exec(*command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        async with asyncio.timeout(30):
            await _listening(port)
            serving.terminate()
            assert await serving.wait() == 0
    finally:
        if serving.returncode is None:
            serving.kill()
            await serving.wait()
