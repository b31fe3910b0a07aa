"""What an installation can set, and where each value in force comes from.

A value is the default, unless the file HOME/counterfoil.toml says otherwise, unless the environment does. The file's
keys and the variables have one name: ``port`` in the file is ``COUNTERFOIL_PORT`` in the environment. Only ``home`` is
not in the file, since it says where the file is. Sizes are bytes, or a number with KiB, MiB or GiB. A secret may lie in
a file of its own: ``COUNTERFOIL_DATABASE_URL_FILE`` names the one that holds what ``COUNTERFOIL_DATABASE_URL`` would.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import psycopg
from msgspec import Struct
from platformdirs import user_data_dir
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.errors import SetupError

PREFIX = "COUNTERFOIL_"
FILE_NAME = "counterfoil.toml"
DEFAULT = "default"
IN_A_FILE = "_file"  # added to a secret's variable, which then names a file that holds it

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "json", "text")

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Settings(Struct, frozen=True, kw_only=True):
    """The settings in force. *sources* says for each name whether the default, a file or a variable gave it."""

    home: Path
    database_url: str | None = None  # None is the embedded PostgreSQL in home
    acting_as: str | None = None  # the e-mail address of whom the command line acts for
    host: str = "127.0.0.1"
    port: int = 8017
    workers: int = 2  # processes that do jobs, beside the API or alone; 0 is none beside the API
    trusted_proxies: tuple[str, ...] = ()  # whose word on a client's address is taken
    database_connections: int = 16
    answer_within_s: int = 8  # what waits longer for the database is answered 503
    grace_s: int = 20  # for requests in flight when the service is told to stop
    log_level: str = "info"
    log_format: str = "auto"  # text on a terminal, JSON elsewhere
    metrics_token: str | None = None  # None is the one that is made in home
    session_idle_minutes: int = 480
    session_days: int = 7
    backups: Path
    storage: str = "folder"  # or s3://bucket/prefix
    storage_endpoint: str | None = None  # None is Amazon's, or that of AWS_ENDPOINT_URL
    storage_region: str | None = None  # None is that of AWS_REGION
    storage_path_style: bool = True  # the bucket is in the path, not in the host's name
    signing_key: Path | None = None  # None is the one that is made in home
    upload_limit_bytes: int = 256 * MIB
    entry_limit_bytes: int = 2 * GIB  # of one entry of an archive, unpacked
    ratio_limit: int = 200  # unpacked to packed
    unpacked_limit_bytes: int = 16 * GIB  # of all entries of an archive together
    most_retired_streams: int = 10  # of an account, kept for undo
    most_retired_bytes: int = 4 * GIB  # of an account's retired streams together; the last one is kept all the same
    entries_limit: int = 1_000  # in an archive, beside attachments
    attachments_limit: int = 50_000
    manifest_limit_bytes: int = 16 * MIB
    line_limit_bytes: int = MIB  # of an archive's file of lines
    nesting_limit: int = 32  # of the values on a line
    values_limit: int = 250_000  # on a line
    string_limit_bytes: int = 64 * KIB  # of a text on a line, as written
    digits_limit: int = 32  # of a number on a line
    work_factor_limit: int = 18  # of an archive encrypted with a passphrase
    smtp_host: str | None = None  # None mails nothing
    smtp_port: int = 587
    smtp_tls: str = "starttls"  # or "tls" from the first byte on, or "off"
    smtp_user: str | None = None
    smtp_password: str | None = None
    smtp_from: str | None = None  # whom mails are from
    smtp_ca_file: Path | None = None  # None trusts whom the machine trusts
    closed_account_days: int = 30  # for which an account that was closed is kept
    public_url: str | None = None  # where people reach the service: what links begin with
    sources: dict[str, str] = {}


class SettingInForce(Struct, frozen=True):
    """A line of `counterfoil config show`; the value has no password in it."""

    name: str
    value: str
    source: str


@dataclass(eq=False)
class SettingUnknown(SetupError):
    """The file or the environment sets something that there is not: most often a slip of the pen."""

    code: ClassVar[str] = "setup.setting-unknown"
    where: str
    found: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected one of {', '.join(self.known)}"


@dataclass(eq=False)
class SettingInvalid(SetupError):
    """A setting has a value that it cannot have."""

    code: ClassVar[str] = "setup.setting-invalid"
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}"


@dataclass(eq=False)
class SettingsFileUnreadable(SetupError):
    """The settings file is there, and is not TOML or may not be read."""

    code: ClassVar[str] = "setup.settings-file-unreadable"
    file: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


def load_settings(environ: Mapping[str, str], *, is_root: bool | None = None) -> Settings:
    """The settings in force, from *environ* and the file in the home that it names.

    An empty variable counts as unset. *is_root*: whether to take root's default home; asked of
    the system unless given.
    Raises SettingUnknown, SettingInvalid or SettingsFileUnreadable.
    """
    from_environment = _of_environment(environ)
    home = _home(from_environment, is_root=os.geteuid() == 0 if is_root is None else is_root)
    values: dict[str, Any] = {"home": home.value, "backups": home.value / "backups"}
    sources = {"home": home.source}
    for given in (_of_file(home.value / FILE_NAME), from_environment):
        for name, found in given.items():
            if name != "home":
                values[_KINDS[name].field] = _read(name, found)
                sources[name] = found.source
    if values.get("smtp_host") and not values.get("smtp_from"):
        raise SettingInvalid("smtp_from", "nothing", "an e-mail address, since smtp_host is set")
    return Settings(**values, sources=sources)


def default_home(*, is_root: bool) -> Path:
    """Where data lives when nobody says: the platform's folder for a user's data, or the machine's for root.

    Not below root's own folder: that is closed to the unprivileged account that PostgreSQL runs under then.
    """
    return Path("/var/lib/counterfoil") if is_root else Path(user_data_dir("counterfoil", appauthor=False))


def settings_in_force(settings: Settings) -> list[SettingInForce]:
    """Every setting with its value and where that comes from, in a fixed order; passwords are masked."""
    return [
        SettingInForce(name, _shown(name, getattr(settings, kind.field)), settings.sources.get(name, DEFAULT))
        for name, kind in _KINDS.items()
    ]


def masked(database_url: str) -> str:
    """The address of a database server without the secrets in it."""
    parts = conninfo_to_dict(database_url)
    secrets = {name: "****" for name in ("password", "sslpassword", "oauth_client_secret") if parts.get(name)}
    return make_conninfo("", **{**parts, **secrets})


class _Given(NamedTuple):
    """A value as somebody wrote it, and where."""

    value: Any
    source: str


class _Home(NamedTuple):
    value: Path
    source: str


class _Kind(NamedTuple):
    """How a setting is read: the struct's field, what it may be in words, and the reading, which raises ValueError."""

    field: str
    expected: str
    read: Callable[[Any], Any]
    is_secret: bool = False


def _of_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for variable, value in sorted(environ.items()):
        if variable.startswith(PREFIX) and value:
            name = variable.removeprefix(PREFIX).lower()
            secret = name.removesuffix(IN_A_FILE)
            is_in_a_file = name not in _KINDS and secret in _KINDS and _KINDS[secret].is_secret
            if (name not in _KINDS and not is_in_a_file) or variable != variable.upper():
                raise SettingUnknown("environment", variable, tuple(f"{PREFIX}{known.upper()}" for known in _KINDS))
            if is_in_a_file and secret in given:
                raise SettingInvalid(variable, f"{PREFIX}{secret.upper()} as well", "one of the two")
            given[secret if is_in_a_file else name] = _Given(_secret(value) if is_in_a_file else value, variable)
    return given


def _secret(file: str) -> str:
    """What a file that holds a secret says, without the line's end."""
    path = Path(file).expanduser()
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsFileUnreadable(path, error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise SettingsFileUnreadable(path, "is not UTF-8") from error


def _of_file(file: Path) -> dict[str, _Given]:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsFileUnreadable(file, error.strerror or "cannot be read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsFileUnreadable(file, f"is not TOML: {error}") from error
    known = tuple(name for name in _KINDS if name != "home")
    for name in found:
        if name not in known:
            raise SettingUnknown(str(file), name, known)
    return {name: _Given(value, str(file)) for name, value in found.items()}


def _home(given: dict[str, _Given], *, is_root: bool) -> _Home:
    if "home" in given:
        return _Home(_read("home", given["home"]), given["home"].source)
    return _Home(default_home(is_root=is_root), DEFAULT)


def _read(name: str, given: _Given) -> Any:
    kind = _KINDS[name]
    try:
        return kind.read(given.value)
    except ValueError as error:
        where = given.source if given.source.startswith(PREFIX) else f"{given.source}: {name}"
        found = "a value that is not one" if kind.is_secret else repr(given.value)
        raise SettingInvalid(where, found, kind.expected) from (None if kind.is_secret else error)


def _shown(name: str, value: Any) -> str:
    if name == "database_url":
        return masked(value) if value else "embedded"
    if name in _MADE_AT_HOME and value is None:
        return "in the data folder"
    if _KINDS[name].is_secret and value is not None:
        return "****"
    return "" if value is None else ", ".join(value) if isinstance(value, tuple) else str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(value)
    return value.strip()


def _path(value: Any) -> Path:
    return Path(_text(value)).expanduser().absolute()


def _email(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError(value)
    return text


def _database_url(value: Any) -> str:
    text = _text(value)
    try:
        conninfo_to_dict(text)
    except psycopg.ProgrammingError as error:
        raise ValueError(text) from error
    return text


def _tls(value: Any) -> str:
    if value not in _TLS:
        raise ValueError(value)
    return str(value)


def _mailbox(value: Any) -> str:
    text = _email(value)
    if not text.isascii():
        raise ValueError(value)
    return text


def _url(value: Any) -> str:
    text = _text(value).rstrip("/")
    parts = urlsplit(text)
    if not re.fullmatch(r"[!-~]+", text) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(value)
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(value)
    return text


def _whole(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(value)


def _at_least_one(value: Any) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError(value)
    return number


def _between(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = _whole(value)
        if not least <= number <= most:
            raise ValueError(value)
        return number

    return read


def _log_level(value: Any) -> str:
    return _one_of(value, LOG_LEVELS)


def _log_format(value: Any) -> str:
    return _one_of(value, LOG_FORMATS)


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    text = _text(value).lower()
    if text not in known:
        raise ValueError(value)
    return text


def _networks(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else _text(value).split(",")
    return tuple(str(ip_network(_text(part), strict=True)) for part in parts)


def _token(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{16,200}", text):
        raise ValueError(value)
    return text


def _storage(value: Any) -> str:
    text = _text(value)
    if text != "folder" and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)*", text):
        raise ValueError(text)
    if {".", ".."} & set(text.split("/")):
        raise ValueError(text)
    return text


def _endpoint(value: Any) -> str:
    text = _text(value)
    # Neither credentials, which would be shown, nor a query.
    if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?", text):
        raise ValueError(text)
    return text.rstrip("/")


def _region(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", text):
        raise ValueError(text)
    return text


def _yes_or_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in {"true", "false"}:
        return bool(value == "true")
    raise ValueError(value)


def _size(value: Any) -> int:
    units = {"KiB": KIB, "MiB": MIB, "GiB": GIB}
    match = re.fullmatch(r"([0-9]{1,9}) ?(KiB|MiB|GiB)", value) if isinstance(value, str) else None
    return _at_least_one(int(match[1]) * units[match[2]] if match else value)


_MADE_AT_HOME = ("signing_key", "metrics_token")
_SIZE = "a size of at least one byte, such as 1048576 or 1 MiB"
_COUNT = "a whole number from 1 on"
_TLS = ("starttls", "tls", "off")

_KINDS = {
    "home": _Kind("home", "a folder", _path),
    "database_url": _Kind(
        "database_url",
        "a libpq address, such as postgresql://user@host/database or host=/run/postgresql dbname=counterfoil",
        _database_url,
        is_secret=True,
    ),
    "as": _Kind("acting_as", "an e-mail address", _email),
    "host": _Kind("host", "a host name or address", _text),
    "port": _Kind("port", "a port number from 1 to 65535", _between(1, 65_535)),
    "workers": _Kind("workers", "a whole number from 0 to 64", _between(0, 64)),
    "trusted_proxies": _Kind(
        "trusted_proxies", "addresses or networks with commas between them, such as 10.0.0.7, 10.1.0.0/16", _networks
    ),
    "database_connections": _Kind("database_connections", "a whole number from 4 to 1000", _between(4, 1000)),
    "answer_within_s": _Kind("answer_within_s", "seconds from 2 to 600", _between(2, 600)),
    "grace_s": _Kind("grace_s", "seconds from 1 to 3600", _between(1, 3600)),
    "log_level": _Kind("log_level", f"one of {', '.join(LOG_LEVELS)}", _log_level),
    "log_format": _Kind("log_format", f"one of {', '.join(LOG_FORMATS)}", _log_format),
    "metrics_token": _Kind("metrics_token", "16 to 200 letters, digits and ._~+/=-", _token, is_secret=True),
    "session_idle_minutes": _Kind(
        "session_idle_minutes", "a number of minutes from 1 to 525600, a year", _between(1, 525_600)
    ),
    "session_days": _Kind("session_days", "a number of days from 1 to 365", _between(1, 365)),
    "backups": _Kind("backups", "a folder", _path),
    "storage": _Kind("storage", "folder, or s3://bucket/prefix", _storage),
    "storage_endpoint": _Kind(
        "storage_endpoint", "an address such as https://s3.example.com, without credentials in it", _endpoint
    ),
    "storage_region": _Kind("storage_region", "the name of a region, such as eu-central-1", _region),
    "storage_path_style": _Kind("storage_path_style", "true or false", _yes_or_no),
    "signing_key": _Kind("signing_key", "a file", _path),
    "upload_limit_bytes": _Kind("upload_limit_bytes", _SIZE, _size),
    "entry_limit_bytes": _Kind("entry_limit_bytes", _SIZE, _size),
    "ratio_limit": _Kind("ratio_limit", _COUNT, _at_least_one),
    "unpacked_limit_bytes": _Kind("unpacked_limit_bytes", _SIZE, _size),
    "entries_limit": _Kind("entries_limit", _COUNT, _at_least_one),
    "attachments_limit": _Kind("attachments_limit", _COUNT, _at_least_one),
    "manifest_limit_bytes": _Kind("manifest_limit_bytes", _SIZE, _size),
    "line_limit_bytes": _Kind("line_limit_bytes", _SIZE, _size),
    # What parses a line is called again for each level, and Python allows a thousand.
    "nesting_limit": _Kind("nesting_limit", "a whole number from 1 to 500", _between(1, 500)),
    "values_limit": _Kind("values_limit", _COUNT, _at_least_one),
    "string_limit_bytes": _Kind("string_limit_bytes", _SIZE, _size),
    "digits_limit": _Kind("digits_limit", _COUNT, _at_least_one),
    "most_retired_streams": _Kind("most_retired_streams", _COUNT, _at_least_one),
    "most_retired_bytes": _Kind("most_retired_bytes", _SIZE, _size),
    "work_factor_limit": _Kind("work_factor_limit", "a work factor from 1 to 20", _between(1, 20)),
    "smtp_host": _Kind("smtp_host", "a host name or address", _text),
    "smtp_port": _Kind("smtp_port", "a port number from 1 to 65535", _between(1, 65_535)),
    "smtp_tls": _Kind("smtp_tls", f"one of {', '.join(_TLS)}", _tls),
    "smtp_user": _Kind("smtp_user", "a name", _text),
    "smtp_password": _Kind("smtp_password", "a password", _text, is_secret=True),
    "smtp_from": _Kind("smtp_from", "an e-mail address in ASCII", _mailbox),
    "smtp_ca_file": _Kind("smtp_ca_file", "a file", _path),
    "closed_account_days": _Kind("closed_account_days", "a whole number from 7 to 3650", _between(7, 3650)),
    "public_url": _Kind("public_url", "an address such as https://counterfoil.example.com", _url),
}
