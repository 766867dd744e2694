"""A reference round backend: one transaction before each answer, a savepoint an item, and troubles on demand."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protocol.canonical import J
from protocol.round_backend import BATCH, body_sha256, content_digest

_IN_A_ROUND = re.compile(r"(/rounds/.+?)(?:/tasks|/agent-runs/[^/]+|/evaluations/[^/]+|/finish)")
_SCHEMA = """CREATE TABLE IF NOT EXISTS resources (path TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE,
    body_sha256 TEXT NOT NULL, body TEXT NOT NULL, deliveries INTEGER NOT NULL DEFAULT 1)"""


class Trouble(BaseModel):
    """What befalls the next `times` requests of a path, or items of a key.

    Without a status, the true answer is given. `stores` does what is asked before any other
    answer, `proof` lies about it, `lost` breaks the answer off or leaves out the item.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["GET", "PUT", "POST", "item"]
    matches: str = ""
    times: int | None = None
    status: int | None = None
    document: dict[str, Any] = {}
    text: str | None = None
    headers: dict[str, str] = {}
    proof: bool = False
    stores: bool = False
    lost: bool = False
    fails_commit: bool = False

    def told(self, digest: str) -> dict[str, Any]:
        return self.document | (_proof(digest) if self.proof else {})


class Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class ReferenceBackend:
    """Keeps every resource once, by path and by key, with the digest of its body."""

    def __init__(self, database: Path, token: str | None = None) -> None:
        self._database, self._token = database, token
        self.troubles: list[tuple[Trouble, int | None]] = []
        self._lock = Lock()
        with self.connected() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(_SCHEMA)

    @property
    def app(self) -> Starlette:
        """The service."""
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "PUT", "POST"])])

    def befall(self, *troubles: Trouble) -> None:
        """These troubles from now on, and no others."""
        with self._lock:
            self.troubles = [(trouble, trouble.times) for trouble in troubles]

    @contextmanager
    def connected(self) -> Generator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._database, isolation_level=None, timeout=10)) as connection:
            yield connection

    async def _serve(self, request: Request) -> Response:
        return await run_in_threadpool(self._answer, request, await request.body())

    def _answer(self, request: Request, body: bytes) -> Response:
        trouble = self._take(request.method, request.url.path) or Trouble(method="GET")
        answer = Response()
        if trouble.stores or trouble.status is None:
            answer = self._true_answer(request, body, trouble.fails_commit)
        if trouble.lost:
            return Response(b'{"state":', headers={"content-length": "99"})
        if trouble.status is None:
            return answer
        if trouble.text is not None:
            return Response(trouble.text, trouble.status, trouble.headers)
        return JSONResponse(trouble.told(body_sha256(body)), trouble.status, trouble.headers)

    def _true_answer(self, request: Request, body: bytes, fails_commit: bool) -> Response:
        path, headers = request.url.path, request.headers
        try:
            if self._token is not None and headers.get("authorization") != f"Bearer {self._token}":
                raise Refused(401, "unauthenticated")
            if request.method == "GET":
                return self._shown(path)
            if headers.get("content-digest") != content_digest(body):
                raise Refused(400, "digest-differs")
            with self.connected() as connection, _transaction(connection, fails_commit):
                if request.method == "POST":
                    return self._batch(connection, path, json.loads(body))
                status = _keep(connection, path, headers["idempotency-key"], body)
                return JSONResponse(_proof(body_sha256(body)), status)
        except Refused as refused:
            return JSONResponse({"code": refused.code}, refused.status)

    def _shown(self, path: str) -> Response:
        with self.connected() as connection:
            found = connection.execute("SELECT body_sha256 FROM resources WHERE path = ?", [path]).fetchone()
        if found is None:
            raise Refused(404, "not-found")
        return JSONResponse(_proof(found[0]))

    def _batch(self, connection: sqlite3.Connection, path: str, items: list[dict[str, Any]]) -> Response:
        if len(items) > BATCH:
            raise Refused(413, "too-many")
        told = [self._item(connection, path, item) for item in items]
        return JSONResponse({"items": [one for one in told if one is not None]}, 207)

    def _item(self, connection: sqlite3.Connection, path: str, item: dict[str, Any]) -> dict[str, Any] | None:
        """What is said of one item, in its own savepoint; nothing if it is left out."""
        key, digest = item.pop("key"), item.pop("body_sha256")
        trouble = self._take("item", key) or Trouble(method="item")
        connection.execute("SAVEPOINT item")
        try:
            if digest != body_sha256(J(item)):
                raise Refused(400, "digest-differs")
            told = {"status": _keep(connection, f"{path}/{item['evaluation_id']}", key, J(item)), **_proof(digest)}
        except Refused as refused:
            told = {"status": refused.status, "code": refused.code}
        if trouble.status is not None:
            told = {"status": trouble.status, **trouble.told(digest)}
        if not trouble.stores and (trouble.lost or trouble.status is not None):
            connection.execute("ROLLBACK TO item")
        connection.execute("RELEASE item")
        return None if trouble.lost else {"key": key, **told}

    def _take(self, method: str, subject: str) -> Trouble | None:
        with self._lock:
            for position, (trouble, left) in enumerate(self.troubles):
                if trouble.method == method and re.search(trouble.matches, subject) and left != 0:
                    self.troubles[position] = (trouble, None if left is None else left - 1)
                    return trouble
        return None


def _keep(connection: sqlite3.Connection, path: str, key: str, body: bytes) -> int:
    """201 if it is new, 200 if it was kept before."""
    digest = body_sha256(body)
    known = connection.execute("SELECT path, body_sha256 FROM resources WHERE key = ?", [key]).fetchone()
    if known is not None:
        if known != (path, digest):
            raise Refused(409, "key-reused")
        connection.execute("UPDATE resources SET deliveries = deliveries + 1 WHERE key = ?", [key])
        return 200
    inside = _IN_A_ROUND.fullmatch(path)
    if inside is not None and not _known(connection, inside[1]):
        raise Refused(404, "round-unknown")
    if _known(connection, path):
        raise Refused(409, "identifier-bound")
    values = [path, key, digest, body.decode()]
    connection.execute("INSERT INTO resources (path, key, body_sha256, body) VALUES (?, ?, ?, ?)", values)
    return 201


def _known(connection: sqlite3.Connection, path: str) -> bool:
    return connection.execute("SELECT 1 FROM resources WHERE path = ?", [path]).fetchone() is not None


@contextmanager
def _transaction(connection: sqlite3.Connection, fails: bool) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back if it does not hold
        yield
        if fails:
            raise Refused(500, "commit-failed")


def _proof(digest: str) -> dict[str, Any]:
    return {"state": "stored", "body_sha256": digest}
