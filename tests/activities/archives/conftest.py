from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from adapters.grib_decoder import GribDecoder
from adapters.grib_messages import cut_messages
from tests.activities.archives.real_files import GFS_2P5, PATH, CoarseFile
from tests.grib_index import build_idx
from tests.range_server import RangeServer, range_server
from tests.samples import sample_path


@pytest.fixture(scope="session")
def decoder() -> Iterator[GribDecoder]:
    decoder = GribDecoder()
    yield decoder
    decoder.close()


@pytest.fixture(scope="session")
def grib() -> bytes:
    return sample_path(GFS_2P5).read_bytes()


@pytest.fixture(scope="session")
def coarse(decoder: GribDecoder, grib: bytes) -> CoarseFile:
    messages = cut_messages(grib)
    held = [(field, message) for message in messages for field in decoder.decode_any(message)]
    message_of = {
        tuple(field.keys[name] for name in ("shortName", "level", "typeOfLevel")): message for field, message in held
    }
    return CoarseFile(messages, [field for field, _ in held], message_of)


@pytest.fixture(scope="session")
def idx(grib: bytes) -> str:
    return build_idx(grib)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RangeServer]]:
    roots = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with range_server(roots[0]) as first, range_server(roots[1]) as second:
        yield [first, second]


def _fresh(server: RangeServer, grib: bytes, idx: str) -> RangeServer:
    (server.root / PATH).parent.mkdir(parents=True, exist_ok=True)
    (server.root / PATH).write_bytes(grib)
    (server.root / f"{PATH}.idx").write_text(idx)
    server.overrides.clear()
    server.requests.clear()
    return server


@pytest.fixture
def first(servers: list[RangeServer], grib: bytes, idx: str) -> RangeServer:
    return _fresh(servers[0], grib, idx)


@pytest.fixture
def second(servers: list[RangeServer], grib: bytes, idx: str) -> RangeServer:
    return _fresh(servers[1], grib, idx)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client
