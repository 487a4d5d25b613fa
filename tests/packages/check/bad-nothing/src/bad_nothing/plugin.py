"""Forgot to import the handlers."""  # expect: FSE402
