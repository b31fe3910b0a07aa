"""The settings: who overrules whom, what is refused and in which words, and what is shown."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from api.bootstrap import limits
from api.settings import (
    DEFAULT,
    FILE_NAME,
    SettingInvalid,
    SettingsFileUnreadable,
    SettingUnknown,
    default_home,
    load_settings,
    masked,
    settings_in_force,
)
from snapshots.container import Limits


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder without a settings file."""
    return tmp_path


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of an installation in *home*, beside variables that are none of our business."""
    ours = {f"COUNTERFOIL_{name}": value for name, value in variables.items()}
    return {"PATH": "/usr/bin", "COUNTERFOILS": "many", "COUNTERFOIL_HOME": str(home), **ours}


def write_file(home: Path, text: str) -> Path:
    file = home / FILE_NAME
    file.write_text(text)
    return file


def shown(home: Path, **variables: str) -> dict[str, tuple[str, str]]:
    """What `config show` prints: value and source by name."""
    settings = load_settings(environment(home, **variables))
    return {line.name: (line.value, line.source) for line in settings_in_force(settings)}


def test_without_a_file_and_variables_the_defaults_are_in_force(home: Path) -> None:
    settings = load_settings(environment(home))

    assert settings.database_url is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8017)
    assert settings.backups == home / "backups"
    assert settings.upload_limit_bytes == 268_435_456
    assert settings.entry_limit_bytes == 2_147_483_648
    assert (settings.ratio_limit, settings.entries_limit) == (200, 1_000)


def test_the_file_overrules_the_default_and_the_environment_overrules_the_file(home: Path) -> None:
    file = write_file(home, 'port = 9000\nhost = "localhost"\n')

    lines = shown(home, PORT="9001")

    assert lines["port"] == ("9001", "COUNTERFOIL_PORT")
    assert lines["host"] == ("localhost", str(file))
    assert lines["ratio_limit"] == ("200", DEFAULT)


def test_every_setting_is_shown_once_with_its_source(home: Path) -> None:
    lines = shown(home, AS="an@example.org")

    assert list(lines) == [
        "home", "database_url", "as", "host", "port", "workers", "trusted_proxies", "database_connections",
        "answer_within_s", "grace_s", "log_level", "log_format", "metrics_token", "session_idle_minutes",
        "session_days", "backups",
        "storage", "storage_endpoint", "storage_region", "storage_path_style", "signing_key",
        "upload_limit_bytes", "entry_limit_bytes", "ratio_limit",
        "unpacked_limit_bytes", "entries_limit", "attachments_limit", "manifest_limit_bytes",
        "line_limit_bytes", "nesting_limit", "values_limit", "string_limit_bytes", "digits_limit",
        "most_retired_streams", "most_retired_bytes",
        "work_factor_limit",
        "smtp_host", "smtp_port", "smtp_tls", "smtp_user", "smtp_password", "smtp_from", "smtp_ca_file",
        "closed_account_days", "public_url",
    ]  # fmt: skip
    assert lines["home"] == (str(home), "COUNTERFOIL_HOME")
    assert lines["as"] == ("an@example.org", "COUNTERFOIL_AS")
    assert lines["database_url"] == ("embedded", DEFAULT)


def test_the_limits_by_default_are_those_that_the_readers_have_of_their_own(home: Path) -> None:
    assert limits(load_settings(environment(home))) == Limits()


def test_every_limit_reaches_the_reader_that_checks_it(home: Path) -> None:
    names = [name for name in shown(home) if "_limit" in name]
    given = {name.upper(): str(1 + at) for at, name in enumerate(names)}

    found = limits(load_settings(environment(home, **given)))

    numbers = [*(value for value in astuple(found) if isinstance(value, int)), *astuple(found.lines)]
    assert sorted(numbers) == [1 + at for at in range(len(names))]


@pytest.mark.parametrize("value", ["0", "21", "hard"])
def test_a_work_factor_that_no_machine_should_try_is_refused(home: Path, value: str) -> None:
    with pytest.raises(SettingInvalid, match="from 1 to 20"):
        load_settings(environment(home, WORK_FACTOR_LIMIT=value))


@pytest.mark.parametrize("value", ["0", "501", "deep"])
def test_a_nesting_that_the_parser_could_not_follow_is_refused(home: Path, value: str) -> None:
    with pytest.raises(SettingInvalid, match="from 1 to 500"):
        load_settings(environment(home, NESTING_LIMIT=value))


def test_root_has_a_home_outside_its_own_folder_and_others_have_the_platforms() -> None:
    assert default_home(is_root=True) == Path("/var/lib/counterfoil")
    assert default_home(is_root=False).name == "counterfoil"
    assert load_settings({}, is_root=True).home == Path("/var/lib/counterfoil")


def test_a_relative_home_is_made_absolute(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)

    assert load_settings({"COUNTERFOIL_HOME": "data"}).home == home / "data"


def test_an_empty_variable_counts_as_unset(home: Path) -> None:
    assert load_settings(environment(home, DATABASE_URL="", PORT="")).port == 8017


@pytest.mark.parametrize(
    ("written", "bytes_"), [("1", 1), ("1048576", 1 << 20), ("3 KiB", 3 << 10), ("3MiB", 3 << 20), ("2 GiB", 2 << 30)]
)
def test_a_size_is_bytes_or_has_a_unit(home: Path, written: str, bytes_: int) -> None:
    assert load_settings(environment(home, UPLOAD_LIMIT_BYTES=written)).upload_limit_bytes == bytes_


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "١"),
        ("PORT", "1_000"),
        ("RATIO_LIMIT", "0"),
        ("ENTRIES_LIMIT", "-1"),
        ("UPLOAD_LIMIT_BYTES", "1 MB"),
        ("UPLOAD_LIMIT_BYTES", "0 GiB"),
        ("ENTRY_LIMIT_BYTES", "9" * 5_000),
        ("AS", "nobody"),
        ("HOST", "  "),
        ("DATABASE_URL", "just words"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.1,,10.0.0.2"),
        ("DATABASE_CONNECTIONS", "3"),
        ("ANSWER_WITHIN_S", "1"),
        ("GRACE_S", "0"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("METRICS_TOKEN", "short"),
    ],
)
def test_a_value_that_cannot_be_is_refused_naming_the_variable(home: Path, name: str, value: str) -> None:
    with pytest.raises(SettingInvalid) as refusal:
        load_settings(environment(home, **{name: value}))

    assert str(refusal.value).startswith(f"COUNTERFOIL_{name}: found ")
    assert "; expected " in str(refusal.value)


@pytest.mark.parametrize("line", ["port = true", "port = 80.5", "as = 7", "ratio_limit = []", 'host = ""'])
def test_a_value_of_the_wrong_type_is_refused_naming_the_file_and_the_key(home: Path, line: str) -> None:
    file = write_file(home, line)

    key = line.partition(" ")[0]

    with pytest.raises(SettingInvalid) as refusal:
        load_settings(environment(home))

    assert str(refusal.value).startswith(f"{file}: {key}: found ")


def test_an_unknown_key_is_refused_with_the_ones_there_are(home: Path) -> None:
    file = write_file(home, "prot = 80")

    with pytest.raises(SettingUnknown) as refusal:
        load_settings(environment(home))

    assert str(refusal.value).startswith(f"{file}: found prot; expected one of database_url, as, host, port")


def test_an_unknown_variable_is_refused_with_the_ones_there_are(home: Path) -> None:
    with pytest.raises(SettingUnknown, match="environment: found COUNTERFOIL_PROT; expected one of COUNTERFOIL_HOME"):
        load_settings(environment(home, PROT="80"))


def test_the_file_cannot_move_the_home_that_it_lies_in(home: Path) -> None:
    write_file(home, 'home = "/elsewhere"')

    with pytest.raises(SettingUnknown, match="found home"):
        load_settings(environment(home))


@pytest.mark.parametrize("content", [b"port: 80", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused_by_name(home: Path, content: bytes) -> None:
    (home / FILE_NAME).write_bytes(content)

    with pytest.raises(SettingsFileUnreadable, match=r"counterfoil\.toml: is not TOML: "):
        load_settings(environment(home))


def test_a_settings_file_that_is_a_folder_is_refused_by_name(home: Path) -> None:
    (home / FILE_NAME).mkdir()

    with pytest.raises(SettingsFileUnreadable, match=FILE_NAME):
        load_settings(environment(home))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://an:hunter2@host/data",
        "postgresql://host/data?user=an&password=hunter2",
        "host=host user=an password=hunter2 dbname=data",
    ],
)
def test_a_password_is_shown_to_nobody(home: Path, address: str) -> None:
    value, source = shown(home, DATABASE_URL=address)["database_url"]

    assert "hunter2" not in value
    assert "host=host" in value
    assert "user=an" in value
    assert source == "COUNTERFOIL_DATABASE_URL"


def test_a_secret_may_lie_in_a_file_that_its_variable_names(home: Path) -> None:
    (home / "address").write_text("postgresql://an:hunter2@host/data\n")
    (home / "token").write_text("0123456789abcdef\n")

    settings = load_settings(
        environment(home, DATABASE_URL_FILE=str(home / "address"), METRICS_TOKEN_FILE=str(home / "token"))
    )

    assert (settings.database_url, settings.metrics_token) == ("postgresql://an:hunter2@host/data", "0123456789abcdef")
    assert settings.sources["database_url"] == "COUNTERFOIL_DATABASE_URL_FILE"
    lines = {line.name: line.value for line in settings_in_force(settings)}
    assert "hunter2" not in lines["database_url"]
    assert lines["metrics_token"] == "****"


def test_a_secret_that_is_given_twice_or_whose_file_is_gone_is_refused(home: Path) -> None:
    file = home / "token"
    file.write_text("0123456789abcdef")

    with pytest.raises(SettingInvalid, match="COUNTERFOIL_METRICS_TOKEN as well; expected one of the two"):
        load_settings(environment(home, METRICS_TOKEN="0123456789abcdef", METRICS_TOKEN_FILE=str(file)))
    with pytest.raises(SettingsFileUnreadable, match="nowhere"):
        load_settings(environment(home, METRICS_TOKEN_FILE=str(home / "nowhere")))


def test_only_a_secret_has_a_variable_that_names_a_file(home: Path) -> None:
    with pytest.raises(SettingUnknown, match="COUNTERFOIL_PORT_FILE"):
        load_settings(environment(home, PORT_FILE="/etc/port"))


def test_trusted_proxies_are_a_list_in_the_file_or_have_commas_between_them(home: Path) -> None:
    write_file(home, 'trusted_proxies = ["10.0.0.7", "10.1.0.0/16"]')

    assert load_settings(environment(home)).trusted_proxies == ("10.0.0.7/32", "10.1.0.0/16")
    assert load_settings(environment(home, TRUSTED_PROXIES="::1, 127.0.0.1")).trusted_proxies == (
        "::1/128",
        "127.0.0.1/32",
    )


def test_an_address_that_cannot_be_read_is_refused_without_repeating_its_password(home: Path) -> None:
    with pytest.raises(SettingInvalid) as refusal:
        load_settings(environment(home, DATABASE_URL="postgresql://an:hunter2@[host/data"))

    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_an_address_without_secrets_is_shown_as_it_is_meant() -> None:
    assert masked("postgresql://an@host/data") == "user=an dbname=data host=host"


def test_a_mail_server_needs_an_address_to_mail_from(home: Path) -> None:
    with pytest.raises(SettingInvalid, match="smtp_from"):
        load_settings(environment(home, SMTP_HOST="127.0.0.1"))


def test_the_mail_servers_password_is_not_shown(home: Path) -> None:
    found = shown(home, SMTP_HOST="127.0.0.1", SMTP_FROM="a@example.com", SMTP_PASSWORD="correct horse")

    assert found["smtp_password"] == ("****", "COUNTERFOIL_SMTP_PASSWORD")


@pytest.mark.parametrize(
    "url",
    ["example.com", "ftp://example.com", "https://", "https://a@example.com", "https://example.com/?x", "https://a\nb"],
)
def test_w07_an_address_that_links_cannot_begin_with_is_refused(home: Path, url: str) -> None:
    with pytest.raises(SettingInvalid, match="PUBLIC_URL"):
        load_settings(environment(home, PUBLIC_URL=url))
