from fastsoy_events import emit, event, on


@on("EmployeeCreated")  # expect: FSE101
async def greet(**_: object) -> None:
    """Hear what should be employee.created."""


@event("change_employee_status_done")  # expect: FSE101
def employee_status_changed() -> None:
    """Declare what should be employee.status_changed."""


@on("change_employee_status_done")  # expect: FSE101
async def note(**_: object) -> None:
    """Hear it."""


async def refund() -> None:
    await emit("RefundOrder")  # expect: FSE101


NAMES = ["misc", "Stuff"]

for name in NAMES:

    @on(name)  # expect: FSE101, FSE101
    async def listen(**_: object) -> None:
        """Hear what the source alone does not tell."""
