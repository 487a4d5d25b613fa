"""Which calls are known to block the event loop. Opening a local file is not among them: it is short and common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events.inspection.source._values import Attribute, Builtin, Module, Named

if TYPE_CHECKING:
    from fastsoy_events.inspection.source._values import Value

_HTTP = ("delete", "get", "head", "options", "patch", "post", "put", "request")
_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "builtins": ("input",),
    "cx_Oracle": ("connect",),
    "ftplib": ("FTP", "FTP_TLS"),
    "getpass": ("getpass",),
    "http.client": ("HTTPConnection", "HTTPSConnection"),
    "httpx": (*_HTTP, "stream"),
    "imaplib": ("IMAP4", "IMAP4_SSL"),
    "MySQLdb": ("connect",),
    "mysql.connector": ("connect",),
    "oracledb": ("connect",),
    "os": ("popen", "system", "wait", "waitpid"),
    "paramiko": ("SSHClient",),
    "poplib": ("POP3", "POP3_SSL"),
    "psycopg": ("connect",),
    "psycopg2": ("connect",),
    "pymongo": ("MongoClient",),
    "pymysql": ("connect",),
    "pyodbc": ("connect",),
    "requests": (*_HTTP, "Session", "session"),
    "select": ("select",),
    "shutil": ("copytree", "rmtree"),
    "smtplib": ("LMTP", "SMTP", "SMTP_SSL"),
    "socket": ("create_connection", "getaddrinfo", "gethostbyaddr", "gethostbyname", "getnameinfo"),
    "sqlite3": ("connect",),
    "subprocess": ("call", "check_call", "check_output", "getoutput", "getstatusoutput", "run"),
    "telnetlib": ("Telnet",),
    "time": ("sleep",),
    "urllib.request": ("urlopen", "urlretrieve"),
    "urllib3": ("PoolManager", "request"),
}
_BLOCKING = frozenset(f"{module}.{name}" for module, names in _FUNCTIONS.items() for name in names)


def blocking_name(function: Value) -> str:
    """Return the full name of a function that is known to block; empty for every other."""
    name = full_name(function)
    return name.removeprefix("builtins.") if name in _BLOCKING else ""


def full_name(value: Value) -> str:
    """Return the dotted name of what comes from a module, such as `time.sleep`; empty for every other value."""
    names: list[str] = []
    while isinstance(value, Attribute):
        names.append(value.name)
        value = value.owner
    match value:
        case Module(name):
            names.append(name)
        case Named(module, name):
            names += [name, module]
        case Builtin(name):
            names += [name, "builtins"]
        case _:
            return ""
    return ".".join(reversed(names))
