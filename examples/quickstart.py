"""Two handlers, one event, one failure: `python quickstart.py`."""

import asyncio

from fastsoy_events import emit, on


@on("employee.created")
def order_laptop(employee_id: int, **_: object) -> None:
    """Fail: the other handlers run all the same."""
    raise LookupError(f"no laptop is in stock for employee {employee_id}")


@on("employee.created")
async def greet(employee_id: int, **_: object) -> None:
    """Say hello."""
    print(f"Welcome, employee {employee_id}!")


async def main() -> None:
    """Emit one event, and look at what failed."""
    for failure in await emit("employee.created", employee_id=17, department_id=3):
        print(f"{failure.handler.qualname} failed: {failure.error}")


asyncio.run(main())
