"""`make shop`: the shop, under gunicorn with four workers, on SQLite and one embedded cache that they share.

SHOP_DATABASE and SHOP_CACHE name others; PORT another port, WORKERS another number of processes.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Migrate, fill, serve."""
    port, workers = os.environ.get("PORT", "8000"), os.environ.get("WORKERS", "4")
    for command in (["migrate", "--verbosity", "0"], ["seed"]):
        subprocess.run([sys.executable, HERE / "manage.py", *command], check=True)
    print(
        f"""
The shop is at http://127.0.0.1:{port}/api/ with {workers} processes. In another terminal:

  curl -i http://127.0.0.1:{port}/api/products/
  curl -s http://127.0.0.1:{port}/api/orders/ -H 'Authorization: Token token-of-user1'
  curl -s http://127.0.0.1:{port}/api/orders/ -H 'Authorization: Token token-of-user1' \\
       -H 'Content-Type: application/json' -d '{{"product": 1, "quantity": 2}}'

The next history of user1 has the order, whichever process answers. Ctrl-C ends it.
""",
        flush=True,
    )
    gunicorn = ["-m", "gunicorn", "--chdir", str(HERE), "--bind", f"127.0.0.1:{port}", "--workers", workers]
    os.execv(sys.executable, [sys.executable, *gunicorn, "--log-level", "warning", "shop.wsgi"])


if __name__ == "__main__":
    main()
