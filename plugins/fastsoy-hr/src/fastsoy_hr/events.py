"""What the module tells others: its events, and the keywords that each carries.

Other business modules subscribe by the event's name and import nothing from here.
"""

from fastsoy_events import event

__all__ = ["employee_created", "employee_status_changed"]


@event("employee.created")
def employee_created(*, employee_id: int, department_id: int, created_by: int) -> None:
    """HR has created an employee; for notifications and statistics.

    Args:
        employee_id: the employee's number.
        department_id: the number of the department that the employee works in.
        created_by: the number of the user who did this.
    """


@event("employee.status_changed")
def employee_status_changed(*, employee_id: int, from_state: str, to_state: str, actor_id: int) -> None:
    """An employee has gone from one state to another.

    Args:
        employee_id: the employee's number.
        from_state: `onboarding`, `active` or `on_leave`.
        to_state: `active`, `on_leave` or `left`.
        actor_id: the number of the user who did this.
    """
