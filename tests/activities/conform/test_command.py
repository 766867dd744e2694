"""`barograph conform` as a process, against a miner host on a Temporal server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

from miner.settings import MinerSettings
from starter.ports import free_ports
from tests.activities.conform.conftest import GRID, T0, Scene
from tests.activities.miner.conftest import PRODUCT
from tests.activities.miner.test_host import hosting, temporal_address  # noqa: F401 - a fixture


async def command(scene: Scene, settings: MinerSettings, listen: str) -> tuple[int | None, dict[str, Any], str]:
    """Exit code, JSON document, standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BAROGRAPH_", "TEMPORAL_"))}
    options = {"--listen": listen, "--state": str(scene.folder / "examiner"), "--init": f"{T0:%Y-%m-%dT%HZ}"}
    options |= {"--grid": GRID, "--gfs-base-url": scene.archive_url, "--gfs-product": PRODUCT, "--wait-minutes": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starter", "conform", f"{settings.public_url}/calm", "--json"),
        *(word for option in options.items() for word in option),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=kept | {"BAROGRAPH_GRID_FOLDER": str(scene.grids)},
    )
    out, error = await process.communicate()
    return process.returncode, json.loads(out), error.decode()


async def test_a_stranger_is_told_the_registry_entry_with_which_the_miner_then_conforms(
    scene: Scene,
    temporal_address: str,  # noqa: F811 - a fixture
) -> None:
    port, listening = free_ports(2)
    scene.prepare(f"127.0.0.1:{listening}")
    changes = {"port": port, "temporal_address": temporal_address}
    settings = scene.settings(f"http://127.0.0.1:{port}").model_copy(update=changes)
    async with hosting(settings):
        code, report, error = await command(scene, settings, f"127.0.0.1:{listening}")
    (refused,) = (one for one in report["checks"] if one["check"] == "request.signed-answer")
    assert code == 5 and refused["result"] == "fail" and "401" in refused["found"]
    assert report["registry"] in error and report["skipped"] > 90
    settings.registry.write_text(f'network = "test"\n{report["registry"]}')
    async with hosting(settings):
        code, report, error = await command(scene, settings, f"127.0.0.1:{listening}")
    assert code == 0, [one for one in report["checks"] if one["result"] != "pass"]
    assert report["passed"] == len(report["checks"]) and report["failed"] == report["skipped"] == 0
