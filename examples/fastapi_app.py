"""A shop's API on FastAPI whose responses are kept by unstale.

    uvicorn --workers 2 examples.fastapi_app:app

    curl -i localhost:8000/products/1                                        # 200, with an ETag; again: a hit
    curl -i localhost:8000/products/1 -H 'If-None-Match: "…"'                # 304
    curl -i -X PUT 'localhost:8000/products/1/price?cents=1250'              # the next read, by any worker, is fresh
    curl -s localhost:8000/runs                                              # how often each view has run

`UNSTALE_URL` names the cache (by default an embedded server that all workers share), `SHOP_DB` the SQLite file.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel

from unstale.contrib.fastapi import (
    CacheDep,
    RememberingMiddleware,
    UnstaleRoute,
    cache_lifespan,
    cached_response,
    invalidates,
)

URL = os.environ.get("UNSTALE_URL") or f"embedded://{Path(tempfile.gettempdir(), 'unstale-shop')}"
"""Not embedded:// alone: that is a server for one process and its forks, and each worker would have its own."""
DATABASE = Path(os.environ.get("SHOP_DB", Path(tempfile.gettempdir(), "unstale-shop.db")))
SCHEMA = """
CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (view TEXT NOT NULL);
INSERT OR IGNORE INTO products VALUES (1, 'coffee', 1150), (2, 'tea', 890), (3, 'cocoa', 990);
"""


class Product(BaseModel):
    """What the shop sells."""

    id: int
    name: str
    cents: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The tables, then the cache."""
    with closing(sqlite3.connect(DATABASE, timeout=10)) as connection:
        connection.executescript(SCHEMA)
    async with cache_lifespan(URL, namespace="shop", ttl=300)(app):
        yield


def connect() -> Iterator[sqlite3.Connection]:
    """A connection for one request; each statement is committed by itself."""
    with closing(sqlite3.connect(DATABASE, timeout=10, isolation_level=None, check_same_thread=False)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


Db = Annotated[sqlite3.Connection, Depends(connect)]
router = APIRouter(route_class=UnstaleRoute)


def note_run(db: sqlite3.Connection, view: str) -> None:
    """Note that a view has run, for /runs."""
    db.execute("INSERT INTO runs VALUES (?)", (view,))


@router.get("/products")
@cached_response(tags=["products"])
async def list_products(db: Db, up_to: int | None = None) -> list[Product]:
    """All products, or those up to a price."""
    note_run(db, "products")
    found = db.execute("SELECT * FROM products WHERE cents <= ? ORDER BY id", (up_to or 10**9,))
    return [Product(**row) for row in found]


@router.get("/products/{product_id}")
@cached_response(tags=["product:{product_id}"])
async def show_product(product_id: int, db: Db) -> Product:
    """One product."""
    note_run(db, f"product {product_id}")
    row = db.execute("SELECT * FROM products WHERE id = ?", (product_id,)).fetchone()
    if row is None:
        raise HTTPException(404, "no such product")
    return Product(**row)


@router.put("/products/{product_id}/price")
@invalidates("product:{product_id}", "products")
async def change_price(product_id: int, cents: Annotated[int, Query(ge=1)], db: Db) -> dict[str, int]:
    """Change a price; whoever reads it after the answer gets the new one."""
    if not db.execute("UPDATE products SET cents = ? WHERE id = ?", (cents, product_id)).rowcount:
        raise HTTPException(404, "no such product")
    return {"cents": cents}


@router.get("/bestsellers")
async def show_bestsellers(db: Db, cache: CacheDep) -> list[Product]:
    """The cache without response caching: a part of a response, of its own kind of data."""

    async def load() -> list[int]:
        note_run(db, "bestsellers")
        return [row["id"] for row in db.execute("SELECT id FROM products ORDER BY cents LIMIT 2")]

    ids = await cache.get_or_set("bestsellers", load, tags=["products"])
    return [Product(**db.execute("SELECT * FROM products WHERE id = ?", (found,)).fetchone()) for found in ids]


@router.get("/runs")
async def show_runs(db: Db) -> dict[str, int]:
    """How often each view has run: what was served from the cache is not in it."""
    return dict(db.execute("SELECT view, count(*) FROM runs GROUP BY view").fetchall())


app = FastAPI(title="shop", lifespan=lifespan)
app.add_middleware(RememberingMiddleware)
app.include_router(router)
