"""How mail leaves the application: a small protocol, and a backend that writes to the console."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

__all__ = ["ConsoleMailBackend", "Mail", "MailBackend", "mail_backend", "use_mail_backend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail.

    Args:
        recipient: the address it goes to.
        subject: its subject.
        body: its text.
    """

    recipient: str
    subject: str
    body: str


class MailBackend(Protocol):
    """Whatever can send a mail."""

    async def send(self, mail: Mail) -> None:
        """Send a mail.

        Args:
            mail: the mail.

        Raises:
            Exception: whatever keeps it from being sent.
        """
        ...


class ConsoleMailBackend:
    """Writes each mail's address and subject to standard output: for development."""

    async def send(self, mail: Mail) -> None:
        """Write one line.

        Args:
            mail: the mail.
        """
        sys.stdout.write(f"mail to {mail.recipient}: {mail.subject}\n")
        sys.stdout.flush()


_backend: MailBackend = ConsoleMailBackend()


def mail_backend() -> MailBackend:
    """Return the backend that mail goes through now."""
    return _backend


def use_mail_backend(backend: MailBackend) -> MailBackend:
    """Send mail through another backend from now on.

    Args:
        backend: the new one.

    Returns:
        The one that was used until now, so that it can be put back.
    """
    global _backend
    previous, _backend = _backend, backend
    return previous
