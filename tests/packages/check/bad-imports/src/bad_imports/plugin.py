from typing import TYPE_CHECKING

import acme_orders.events  # expect: FSE501
from acme_orders import plugin  # expect: FSE501
from acme_orders_money import CURRENCY  # expect: FSE501
from fastsoy_events import on

from bad_imports import own

if TYPE_CHECKING:
    from acme_mail.plugin import confirm  # expect: FSE502

__all__ = ["CURRENCY", "confirm", "acme_orders", "own", "plugin"]


@on("order.placed")
async def pack(**_: object) -> None:
    from acme_mail import plugin  # expect: FSE501

    plugin.confirm
