import time
from subprocess import run

from fastsoy_events import on


@on("order.placed")  # expect: FSE205
def synchronous(**_: object) -> None:
    """May block, one day."""


@on("order.placed")
def blocks(**_: object) -> None:
    time.sleep(1)  # expect: FSE206


@on("order.refunded")
async def blocks_too(**_: object) -> None:
    run(["true"])  # expect: FSE206
