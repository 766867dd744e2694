"""An embedded stack that runs: a second start finds the same grid and ports, and clients learn where it is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from temporalio.client import Client

from adapters import temporal_server
from adapters.temporal_client import connect
from protocol.layout import load_layout
from starter.client import CLIENT_FILE
from starter.embedded import NAMESPACE, EmbeddedStack, MinerPlan, Ports, World
from starter.state_folder import StateFolder, open_state_folder
from starter.supervisor import Event, Supervisor, log_event, supervise
from weather.faults import ConfigurationInvalid

STACK_FILE = "stack.json"
MINERS = (
    MinerPlan("trade-wind", "skilful"),
    MinerPlan("slow-fade", "damped_persistence"),
    MinerPlan("stand-still", "persistence"),
    MinerPlan("old-normal", "climatology"),
)
Tell = Callable[[str], None]


class Known(BaseModel):
    """What a second start must find as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: str
    ports: Ports


def state_folder(root: Path) -> contextlib.closing[StateFolder]:
    """The folder of a stack that has the server of this machine."""
    version = temporal_server.binary_version(temporal_server.find_binary())
    return contextlib.closing(open_state_folder(root, version))


def stack_in(
    folder: StateFolder, grid: str | None = None, port_base: int | None = None, *, ui: bool = True
) -> EmbeddedStack:
    """The stack of a folder, with the grid of its first start and its ports unless others are named."""
    file = folder.root / STACK_FILE
    before = _known(file)
    if before and grid not in (None, before.grid):
        raise ConfigurationInvalid(
            f"{folder.root} holds runs on another grid; name another state folder", found=grid, expected=before.grid
        )
    chosen = before.grid if before else grid or World().grid
    load_layout(chosen)
    ports = Ports(*range(port_base, port_base + 8)) if port_base else before.ports if before else Ports.free(ui=True)
    _write(file, Known(grid=chosen, ports=ports).model_dump_json())
    kept = ports if ui else replace(ports, ui=None)
    return EmbeddedStack(folder, kept, World(grid=chosen), MINERS, publishes=True)


@contextlib.asynccontextmanager
async def running(stack: EmbeddedStack, on_event: Callable[[Event], None] = log_event) -> AsyncGenerator[Supervisor]:
    """All processes are ready inside the block and gone after it."""
    stack.ports.require_free()
    stack.write_files()
    _write(stack.folder.root / CLIENT_FILE, json.dumps(stack.environment("control"), indent=2))
    async with supervise(stack.processes(), lock=stack.folder.lock, on_event=on_event) as supervisor:
        yield supervisor


@contextlib.asynccontextmanager
async def playing(
    name: str, state: Path | None, stack_of: Callable[[StateFolder], EmbeddedStack], tell: Tell
) -> AsyncGenerator[tuple[EmbeddedStack, Client, Supervisor]]:
    """A stack that runs in a folder, a new one if none is given."""
    with state_folder(state or Path(".barograph") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}") as folder:
        stack = stack_of(folder)
        tell(f"starting {len(stack.processes())} processes in {folder.root}")
        async with running(stack) as supervisor:
            yield stack, await connect(stack.temporal_address, NAMESPACE), supervisor


def _known(file: Path) -> Known | None:
    try:
        return Known.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ConfigurationInvalid(f"{file} does not say grid and ports: {error}; correct it or remove it") from error


def _write(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
