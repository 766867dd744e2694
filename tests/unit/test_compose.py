"""The deployment file speaks the settings of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from workers.settings import load_settings

ROOT = Path(__file__).parents[2]
GIVEN = {
    "BAROGRAPH_NETWORK": "test",
    "POSTGRES_PASSWORD": "secret",
    "BAROGRAPH_ERA5_ZARR_URL": "https://era5.example/zarr",
    "BAROGRAPH_CLIMATOLOGY_URL": "https://climatology.example/zarr",
}


def compose() -> dict[str, Any]:
    """The file with its variables filled in, as the engine would."""
    text = (ROOT / "docker-compose.temporal.yml").read_text()
    filled = re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", lambda m: GIVEN.get(m[1], m[3] if m[2] == "-" else ""), text)
    return yaml.safe_load(filled)


@pytest.mark.parametrize(
    "service", ["worker-control", "worker-hybrid", "worker-publish", "ledger-upgrade", "schedules"]
)
def test_settings_of_a_pod_and_of_a_command_are_complete(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = compose()["services"][service]
    for name, value in pod["environment"].items():
        monkeypatch.setenv(name, "" if value is None else str(value))
    mode = pod["command"][-1] if pod["command"][0] == "worker" else "publish"
    assert load_settings(worker_mode=mode).network == "test"


def test_what_the_page_on_deploying_tells_to_set_reaches_the_pods() -> None:
    told = re.findall(r"BAROGRAPH_\w+", (ROOT / "docs" / "deploying.md").read_text())
    assert set(told) <= set(compose()["services"]["worker-control"]["environment"]) | set(GIVEN)


def test_server_and_admin_tools_have_one_tag() -> None:
    images = {name: service.get("image", "") for name, service in compose()["services"].items()}
    tags = {images[name].split(":")[1] for name in ("temporal", "temporal-schema", "temporal-init")}
    assert len(tags) == 1
    assert all(":" in image and not image.endswith(":latest") for image in images.values())


def test_no_worker_has_a_fixed_name_so_that_it_scales() -> None:
    assert not any("container_name" in service for service in compose()["services"].values())


def test_only_the_web_ui_and_the_validator_are_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert set(published) == {"temporal-ui", "worker-control"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
