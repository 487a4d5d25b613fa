"""The routes under `/audit`, which only read."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from fastsoy_audit.models import AuditEntry

__all__ = ["router"]

router = APIRouter(prefix="/audit", tags=["audit"])

After = Annotated[int, Query(ge=0, le=2**31 - 1)]  # what the id columns hold on every database


class AuditRow(BaseModel):
    """A stored entry."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    event: str
    payload: dict[str, object]
    recorded_at: datetime


@router.get("/entries")
async def list_entries(after: After = 0, limit: Annotated[int, Query(ge=1, le=200)] = 100) -> list[AuditRow]:
    """List entries by number: those after a number, and no more than a limit."""
    entries = await AuditEntry.filter(id__gt=after).order_by("id").limit(limit)
    return [AuditRow.model_validate(entry) for entry in entries]
