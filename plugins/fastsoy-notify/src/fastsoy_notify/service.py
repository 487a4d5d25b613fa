"""What the module does, apart from events and HTTP."""

from __future__ import annotations

from tortoise.timezone import now

from fastsoy_notify.mail import Mail, mail_backend
from fastsoy_notify.models import Message

__all__ = ["welcome"]


async def welcome(employee_id: int) -> Message:
    """Store a welcome message and send it.

    Args:
        employee_id: the employee's number.

    Returns:
        The stored message.

    Raises:
        Exception: whatever the mail backend raises; the message is then stored as not sent.
    """
    mail = Mail(
        # The event carries numbers only, and this module knows no names: the company's mail server maps the number.
        recipient=f"employee-{employee_id}@staff.example",
        subject="Welcome",
        body="Welcome to the company! Your first day starts at nine, at the front desk.",
    )
    message = await Message.create(
        employee_id=employee_id, recipient=mail.recipient, subject=mail.subject, body=mail.body
    )
    await mail_backend().send(mail)
    message.sent_at = now()
    await message.save(update_fields=["sent_at"])
    return message
