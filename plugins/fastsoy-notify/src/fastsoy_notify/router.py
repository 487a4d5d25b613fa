"""The routes under `/notify`, which only read."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from fastsoy_notify.models import Message

__all__ = ["router"]

router = APIRouter(prefix="/notify", tags=["notify"])

After = Annotated[int, Query(ge=0, le=2**31 - 1)]  # what the id columns hold on every database


class MessageRow(BaseModel):
    """A stored message."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    employee_id: int
    recipient: str
    subject: str
    body: str
    created_at: datetime
    sent_at: datetime | None


@router.get("/messages")
async def list_messages(after: After = 0, limit: Annotated[int, Query(ge=1, le=200)] = 100) -> list[MessageRow]:
    """List messages by number: those after a number, and no more than a limit."""
    messages = await Message.filter(id__gt=after).order_by("id").limit(limit)
    return [MessageRow.model_validate(message) for message in messages]
