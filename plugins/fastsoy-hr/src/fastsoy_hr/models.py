"""The tables of the module, and the states that an employee can be in."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from tortoise import fields
from tortoise.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TRANSITIONS", "Department", "Employee", "EmployeeState", "StateChange"]


class EmployeeState(StrEnum):
    """Where an employee stands, from the first day to the last."""

    ONBOARDING = "onboarding"
    ACTIVE = "active"
    ON_LEAVE = "on_leave"
    LEFT = "left"


TRANSITIONS: Mapping[EmployeeState, tuple[EmployeeState, ...]] = MappingProxyType(
    {
        EmployeeState.ONBOARDING: (EmployeeState.ACTIVE, EmployeeState.LEFT),
        EmployeeState.ACTIVE: (EmployeeState.ON_LEAVE, EmployeeState.LEFT),
        EmployeeState.ON_LEAVE: (EmployeeState.ACTIVE, EmployeeState.LEFT),
        EmployeeState.LEFT: (),
    }
)
"""The states that may follow each state."""


class Department(Model):
    """A department that employees work in."""

    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=100)

    class Meta:
        """The table."""

        table = "hr_department"


class Employee(Model):
    """A person who works, or has worked, in a department."""

    id = fields.IntField(primary_key=True)
    full_name = fields.CharField(max_length=200)
    department = fields.ForeignKeyField(Department, related_name=False, on_delete=fields.RESTRICT)
    department_id: int
    state = fields.CharEnumField(EmployeeState, max_length=20, default=EmployeeState.ONBOARDING)

    class Meta:
        """The table."""

        table = "hr_employee"


class StateChange(Model):
    """One step of an employee from one state to the next."""

    id = fields.IntField(primary_key=True)
    employee = fields.ForeignKeyField(Employee, related_name=False, on_delete=fields.RESTRICT)
    employee_id: int
    from_state = fields.CharEnumField(EmployeeState, max_length=20)
    to_state = fields.CharEnumField(EmployeeState, max_length=20)
    actor_id = fields.IntField()
    changed_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        """The table."""

        table = "hr_state_change"
