"""Serve the application on this machine only: `python -m admin --port 8000`."""

from __future__ import annotations

import argparse
import logging
import socket

import uvicorn

from admin.app import app

logger = logging.getLogger("admin")


def main() -> None:
    """Listen on 127.0.0.1 until stopped; port 0 takes a free one, and the log says which."""
    parser = argparse.ArgumentParser(prog="admin", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="the port, 0 for a free one (8000)")
    port: int = parser.parse_args().port
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with socket.create_server(("127.0.0.1", port)) as listener:
        logger.info("listening on http://127.0.0.1:%d", listener.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
