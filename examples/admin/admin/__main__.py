"""Serve the application on this machine only: `python -m admin --port 8000`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket

import uvicorn

from admin.settings import Settings, SettingsError
from admin.tracing import write_spans

logger = logging.getLogger("admin")


def main() -> None:
    """Listen on 127.0.0.1 until stopped; port 0 takes a free one, and the log says which."""
    parser = argparse.ArgumentParser(prog="admin", description=__doc__)
    parser.add_argument("--port", type=_port, default=8000, help="the port, 0 for a free one (8000)")
    port: int = parser.parse_args().port
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings.from_environment()
        asyncio.run(settings.check_database())
        write_spans(settings)
        from admin.app import app  # here, since it reads the settings, too

        opened = socket.create_server(("127.0.0.1", port))
    except SettingsError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(
            f"--port is {port}, on which nothing can listen: {error.strerror}. Write another, or 0 for a free one"
        )
    with opened as listener:
        logger.info("listening on http://127.0.0.1:%d", listener.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])


def _port(text: str) -> int:
    if text.isdecimal() and len(text) <= len("65535") and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: write a number from 0 to 65535")


if __name__ == "__main__":
    main()
