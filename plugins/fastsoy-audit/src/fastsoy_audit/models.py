"""The table of the module."""

from __future__ import annotations

import json

from tortoise import fields
from tortoise.models import Model

__all__ = ["AuditEntry"]


def _as_json(value: object) -> str:
    # A publisher may add a keyword of any type; losing the record over it would be worse than storing its text.
    return json.dumps(value, default=str)


class AuditEntry(Model):
    """One event that happened."""

    id = fields.IntField(primary_key=True)
    event = fields.CharField(max_length=200, db_index=True)
    payload = fields.JSONField[dict[str, object]](encoder=_as_json)
    recorded_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        """The table."""

        table = "audit_entry"
