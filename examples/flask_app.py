"""A shop's API on Flask whose responses are kept by unstale.

    gunicorn --workers 2 --threads 4 'examples.flask_app:create_app()'

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
from contextlib import closing
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, abort, g, request

from unstale.contrib.flask import Unstale, cached_response, current_cache, invalidates

SHARED = f"embedded://{Path(tempfile.gettempdir(), 'unstale-shop')}"
"""Not embedded:// alone: that is a server for one process and its forks, and each worker would have its own."""
DATABASE = Path(os.environ.get("SHOP_DB", Path(tempfile.gettempdir(), "unstale-shop.db")))
SCHEMA = """
CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (view TEXT NOT NULL);
INSERT OR IGNORE INTO products VALUES (1, 'coffee', 1150), (2, 'tea', 890), (3, 'cocoa', 990);
"""

shop = Blueprint("shop", __name__)
unstale = Unstale()


def create_app() -> Flask:
    """Make the application, its tables and its cache."""
    app = Flask(__name__)
    app.config["UNSTALE_URL"] = os.environ.get("UNSTALE_URL") or SHARED
    app.config["UNSTALE_OPTIONS"] = {"namespace": "shop", "ttl": 300}
    unstale.init_app(app)
    with closing(sqlite3.connect(DATABASE, timeout=10)) as connection:
        connection.executescript(SCHEMA)
    app.register_blueprint(shop)
    return app


def database() -> sqlite3.Connection:
    """This request's connection; each statement is committed by itself."""
    if "database" not in g:
        g.database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
        g.database.row_factory = sqlite3.Row
    found: sqlite3.Connection = g.database
    return found


@shop.teardown_app_request
def disconnect(_: BaseException | None) -> None:
    """Close it."""
    if "database" in g:
        g.pop("database").close()


def note_run(view: str) -> None:
    """Note that a view has run, for /runs."""
    database().execute("INSERT INTO runs VALUES (?)", (view,))


@shop.get("/products")
@cached_response(tags=["products"])
def list_products() -> list[dict[str, Any]]:
    """All products, or those up to a price."""
    note_run("products")
    up_to = request.args.get("up_to", 10**9, int)
    return [dict(row) for row in database().execute("SELECT * FROM products WHERE cents <= ? ORDER BY id", (up_to,))]


@shop.get("/products/<int:product_id>")
@cached_response(tags=["product:{product_id}"])
def show_product(product_id: int) -> dict[str, Any]:
    """One product."""
    note_run(f"product {product_id}")
    row = database().execute("SELECT * FROM products WHERE id = ?", (product_id,)).fetchone()
    return dict(row) if row else abort(404)


@shop.put("/products/<int:product_id>/price")
@invalidates("product:{product_id}", "products")
def change_price(product_id: int) -> dict[str, int]:
    """Change a price; whoever reads it after the answer gets the new one."""
    cents = request.args.get("cents", 0, int)
    if cents < 1:
        abort(422)
    if not database().execute("UPDATE products SET cents = ? WHERE id = ?", (cents, product_id)).rowcount:
        abort(404)
    return {"cents": cents}


@shop.get("/bestsellers")
def show_bestsellers() -> list[dict[str, Any]]:
    """The cache without response caching: a part of a response, of its own kind of data."""

    def load() -> list[int]:
        note_run("bestsellers")
        return [row["id"] for row in database().execute("SELECT id FROM products ORDER BY cents LIMIT 2")]

    ids = current_cache.get_or_set("bestsellers", load, tags=["products"])
    return [dict(database().execute("SELECT * FROM products WHERE id = ?", (found,)).fetchone()) for found in ids]


@shop.get("/runs")
def show_runs() -> dict[str, int]:
    """How often each view has run: what was served from the cache is not in it."""
    return dict(database().execute("SELECT view, count(*) FROM runs GROUP BY view").fetchall())
