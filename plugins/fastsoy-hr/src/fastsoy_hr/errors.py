"""What the service refuses.

```text
Exception
└── EmployeeError
    ├── NotFoundError         there is no such employee or department
    └── StateConflictError    the state cannot follow, or somebody else was faster
```
"""

__all__ = ["EmployeeError", "NotFoundError", "StateConflictError"]


class EmployeeError(Exception):
    """The base of what the service refuses; its text is meant for the caller."""


class NotFoundError(EmployeeError):
    """There is no employee, or no department, with this number."""


class StateConflictError(EmployeeError):
    """The wanted state cannot follow the present one, or somebody else has changed it meanwhile."""
