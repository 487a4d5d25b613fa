def read() -> str:
    raise RuntimeError("set MAIL_HOST")  # expect: FSE401


HOST = read()
