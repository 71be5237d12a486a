"""`make shop`: the shop, under gunicorn with four workers, on SQLite and one embedded cache that they share.

SHOP_DATABASE and SHOP_CACHE name others; PORT another port, WORKERS another number of processes, SHOP_HOME another
folder for the database and the cache: by default one in the temporary folder, for this checkout.
"""

import os
import socket
import subprocess
import sys
import tempfile
from hashlib import blake2b
from pathlib import Path

HERE = Path(__file__).parent.resolve()


def main() -> None:
    """Migrate, fill, serve."""
    port, workers = os.environ.get("PORT", "8000"), os.environ.get("WORKERS", "4")
    checkout = blake2b(str(HERE).encode(), digest_size=4).hexdigest()
    home = os.environ.setdefault("SHOP_HOME", str(Path(tempfile.gettempdir(), f"unstale-shop-{checkout}")))
    with socket.socket() as sock:
        if sock.connect_ex(("127.0.0.1", int(port))) == 0:
            sys.exit(f"Port {port} is in use. Name another: PORT=8001 make shop")
    for command in (["migrate", "--verbosity", "0"], ["seed"]):
        subprocess.run([sys.executable, HERE / "manage.py", *command], check=True)
    print(
        f"""
The shop starts at http://127.0.0.1:{port}/api/ with {workers} processes; it keeps its data in {home}.
In another terminal:

  curl -i http://127.0.0.1:{port}/api/products/
  curl -i http://127.0.0.1:{port}/api/orders/ -H 'Authorization: Token token-of-user1'
  curl -s http://127.0.0.1:{port}/api/orders/ -H 'Authorization: Token token-of-user1' \\
       -H 'Content-Type: application/json' -d '{{"product": 1, "quantity": 2}}'
  curl -s -X PATCH http://127.0.0.1:{port}/api/products/1/ -H 'Authorization: Token token-of-admin' \\
       -H 'Content-Type: application/json' -d '{{"cents": 111}}'

X-Cache says hit or miss, X-Process which process answered. The next history of user1 has the order, and the next
catalogue the price, whichever process answers. Ctrl-C ends it.
""",
        flush=True,
    )
    gunicorn = ["-m", "gunicorn", "--chdir", str(HERE), "--bind", f"127.0.0.1:{port}", "--workers", workers]
    os.execv(sys.executable, [sys.executable, *gunicorn, "--log-level", "warning", "shop.wsgi"])


if __name__ == "__main__":
    main()
