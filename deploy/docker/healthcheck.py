"""Asks the worker in this container whether it is alive: exit code 0, or 1 and the reasons."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 3.0


def main(path: str = "/livez") -> int:
    """Asks `path` of the port in WORKER_METRICS_PORT; with 0 there is nobody to ask."""
    port = int(os.environ.get("WORKER_METRICS_PORT") or 9108)
    if port == 0:
        print("WORKER_METRICS_PORT=0: nothing to ask")
        return 0
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.read().decode(errors="replace").strip())
    except (OSError, HTTPException) as error:
        print(f"{path} does not answer: {error}")
        return 1
    else:
        return 0 if answer.status == 200 else 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
