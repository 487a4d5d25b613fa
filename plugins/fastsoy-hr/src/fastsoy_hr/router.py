"""The routes under `/hr`: they translate the service to HTTP and hold no rules of their own."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from fastsoy_hr import service
from fastsoy_hr.errors import NotFoundError, StateConflictError
from fastsoy_hr.models import Employee, EmployeeState

__all__ = ["router"]

LARGEST = 2**31 - 1  # what the id columns hold on every database

Number = Annotated[int, Field(ge=1, le=LARGEST)]
Actor = Annotated[Number, Header(alias="X-Actor-Id", description="The number of the user who does this.")]


class _Route(APIRoute):
    """A route whose refusals do not repeat the input: half a surrogate pair, or NaN, cannot be sent back as JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_without_echo(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                errors = [{key: value for key, value in each.items() if key != "input"} for each in error.errors()]
                raise RequestValidationError(errors) from error

        return handle_without_echo


router = APIRouter(prefix="/hr", tags=["hr"], route_class=_Route)


class NewDepartment(BaseModel):
    """What a department is created from."""

    name: str = Field(min_length=1, max_length=100)


class DepartmentRow(NewDepartment):
    """A stored department."""

    model_config = ConfigDict(from_attributes=True)

    id: int


class NewEmployee(BaseModel):
    """What an employee is created from."""

    full_name: str = Field(min_length=1, max_length=200)
    department_id: Number


class EmployeeRow(NewEmployee):
    """A stored employee."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    state: EmployeeState


class StateChangeRow(BaseModel):
    """One step from state to state."""

    model_config = ConfigDict(from_attributes=True)

    from_state: EmployeeState
    to_state: EmployeeState
    actor_id: int
    changed_at: datetime


class WantedState(BaseModel):
    """The state that an employee shall go to."""

    state: EmployeeState


@contextmanager
def _refusals_as_http() -> Iterator[None]:
    try:
        yield
    except NotFoundError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from error
    except StateConflictError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, str(error)) from error


@router.post("/departments", status_code=status.HTTP_201_CREATED)
async def create_department(department: NewDepartment) -> DepartmentRow:
    """Create a department."""
    return DepartmentRow.model_validate(await service.create_department(name=department.name))


@router.post("/employees", status_code=status.HTTP_201_CREATED)
async def create_employee(employee: NewEmployee, actor_id: Actor) -> EmployeeRow:
    """Create an employee; answer 404 where there is no such department."""
    with _refusals_as_http():
        created = await service.create_employee(
            full_name=employee.full_name, department_id=employee.department_id, created_by=actor_id
        )
    return EmployeeRow.model_validate(created)


@router.get("/employees")
async def list_employees(
    after: Annotated[int, Query(ge=0, le=LARGEST)] = 0, limit: Annotated[int, Query(ge=1, le=200)] = 100
) -> list[EmployeeRow]:
    """List employees by number: those after a number, and no more than a limit."""
    employees = await Employee.filter(id__gt=after).order_by("id").limit(limit)
    return [EmployeeRow.model_validate(employee) for employee in employees]


@router.get("/employees/{employee_id}")
async def show_employee(employee_id: Number) -> EmployeeRow:
    """Show one employee; answer 404 where there is none."""
    with _refusals_as_http():
        return EmployeeRow.model_validate(await service.find_employee(employee_id))


@router.get("/employees/{employee_id}/states")
async def list_states(employee_id: Number) -> list[StateChangeRow]:
    """List an employee's steps from state to state, oldest first; answer 404 where there is no such employee."""
    with _refusals_as_http():
        await service.find_employee(employee_id)
    return [StateChangeRow.model_validate(change) for change in await service.state_history(employee_id)]


@router.post("/employees/{employee_id}/state")
async def change_state(employee_id: Number, wanted: WantedState, actor_id: Actor) -> EmployeeRow:
    """Move an employee to another state; answer 409, and what can follow, where that is not allowed."""
    with _refusals_as_http():
        return EmployeeRow.model_validate(await service.change_state(employee_id, wanted.state, actor_id=actor_id))
