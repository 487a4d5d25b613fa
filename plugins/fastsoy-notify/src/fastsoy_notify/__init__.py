"""A welcome message for each new employee: a business module that listens to `employee.created`."""
