"""The table of the module."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

__all__ = ["Message"]


class Message(Model):
    """A message to an employee; `sent_at` stays empty where the mail backend refused it."""

    id = fields.IntField(primary_key=True)
    employee_id = fields.IntField(db_index=True)
    recipient = fields.CharField(max_length=200)
    subject = fields.CharField(max_length=200)
    body = fields.TextField()
    created_at = fields.DatetimeField(auto_now_add=True)
    sent_at = fields.DatetimeField(null=True)

    class Meta:
        """The table."""

        table = "notify_message"
