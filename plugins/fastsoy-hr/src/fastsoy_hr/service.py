"""Everything that can be done with employees; the routes only translate it to HTTP.

Each function that changes something has a transaction of its own, and its event goes out once that has committed;
inside an `atomic()` of the caller's, once the caller's has.
"""

from __future__ import annotations

from fastsoy_events.contrib.tortoise import atomic
from fastsoy_hr.errors import NotFoundError, StateConflictError
from fastsoy_hr.events import employee_created, employee_status_changed
from fastsoy_hr.models import TRANSITIONS, Department, Employee, EmployeeState, StateChange

__all__ = ["change_state", "create_department", "create_employee", "find_employee", "state_history"]


async def create_department(*, name: str) -> Department:
    """Create a department.

    Args:
        name: what people call it.

    Returns:
        The stored department.
    """
    return await Department.create(name=name)


async def create_employee(*, full_name: str, department_id: int, created_by: int) -> Employee:
    """Create an employee in the state `onboarding`, then emit `employee.created`.

    Args:
        full_name: the person's name.
        department_id: the department's number.
        created_by: the number of the user who does this.

    Returns:
        The stored employee.

    Raises:
        NotFoundError: there is no such department.
    """
    async with atomic():
        if not await Department.filter(id=department_id).exists():
            raise NotFoundError(f"There is no department {department_id}.")
        employee = await Employee.create(full_name=full_name, department_id=department_id)
        await employee_created.emit(employee_id=employee.id, department_id=department_id, created_by=created_by)
    return employee


async def change_state(employee_id: int, to_state: EmployeeState, *, actor_id: int) -> Employee:
    """Move an employee to another state, then emit `employee.status_changed`.

    Args:
        employee_id: the employee's number.
        to_state: the state that is wanted.
        actor_id: the number of the user who does this.

    Returns:
        The employee in the new state.

    Raises:
        NotFoundError: there is no such employee.
        StateConflictError: the state cannot follow the present one, or another request was faster.
    """
    employee = await find_employee(employee_id)
    from_state = employee.state
    _check_transition(from_state, to_state)
    async with atomic():
        await _replace_state(employee_id, from_state, to_state)
        await StateChange.create(employee_id=employee_id, from_state=from_state, to_state=to_state, actor_id=actor_id)
        await employee_status_changed.emit(
            employee_id=employee_id, from_state=from_state.value, to_state=to_state.value, actor_id=actor_id
        )
    employee.state = to_state
    return employee


async def find_employee(employee_id: int) -> Employee:
    """Look an employee up.

    Args:
        employee_id: the employee's number.

    Returns:
        The employee.

    Raises:
        NotFoundError: there is no such employee.
    """
    employee = await Employee.get_or_none(id=employee_id)
    if employee is None:
        raise NotFoundError(f"There is no employee {employee_id}.")
    return employee


async def state_history(employee_id: int) -> list[StateChange]:
    """List the steps an employee has made from state to state, oldest first.

    Args:
        employee_id: the employee's number.

    Returns:
        The steps; none while the employee is still in the first state.
    """
    return await StateChange.filter(employee_id=employee_id).order_by("id")


def _check_transition(from_state: EmployeeState, to_state: EmployeeState) -> None:
    following = TRANSITIONS[from_state]
    if to_state not in following:
        options = f"what can follow is: {', '.join(following)}" if following else "nothing can follow it"
        raise StateConflictError(f"An employee cannot go from {from_state.value} to {to_state.value}; {options}.")


async def _replace_state(employee_id: int, from_state: EmployeeState, to_state: EmployeeState) -> None:
    # SQLite has no row locks (select_for_update does nothing there). The condition in the UPDATE makes one of two
    # concurrent requests win on every database; the other finds no row.
    changed = await Employee.filter(id=employee_id, state=from_state).update(state=to_state)
    if not changed:
        raise StateConflictError(
            f"The employee is not {from_state.value} any more: somebody else has changed the state meanwhile. "
            "Look again, then decide."
        )
