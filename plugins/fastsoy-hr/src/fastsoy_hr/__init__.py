"""Employees and their states: a business module that emits `employee.created` and `employee.status_changed`."""
