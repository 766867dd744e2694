"""One closed run for all tests, copied under each, and an archive in which every truth is final."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from adapters.archive_server.app import archive_app
from adapters.archive_server.world import PlanetWorld
from adapters.catalog import Catalog
from tests.activities.dossiers.judged_run import GRID, write_grid
from tests.activities.revisions.revised_run import PLANET, Revised, opened_again, play


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_grid(folder / "grids")
    play(folder)
    return folder


@pytest.fixture(scope="session")
def archive(played: Path) -> Iterator[str]:
    layout = Catalog(played / "grids").layout(GRID)
    world = PlanetWorld(PLANET.seed, layout.grid_value, layout.level_hectopascal, PLANET.incidents)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = archive_app(world, "pgrb2.tiny", steered=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def revised(played: Path, archive: str, tmp_path: Path) -> Iterator[Revised]:
    shutil.copytree(played, tmp_path / "run")
    with opened_again(tmp_path / "run", archive) as revised:
        yield revised
