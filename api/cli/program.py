"""The program ``counterfoil``: its commands, and the outermost edge where errors become one sentence and a status."""

from __future__ import annotations

import contextlib
import inspect as inspect_module
import io
import os
import sys
import traceback
from datetime import UTC, datetime

import typer

from api.cli import (
    account,
    backup,
    cleanup,
    clone,
    config,
    demo,
    doctor,
    field,
    importing,
    inspect,
    jobs,
    keys,
    listing,
    member,
    notifications,
    password,
    people,
    rebuild,
    restore,
    serve,
    show,
    streams,
    subscription,
    timeline,
    token,
    worker,
)
from api.cli.output import clean, tell
from api.cli.output import show as print_out

STATUS = "Exit status: 0 done, 1 refused or found faulty, 2 wrong usage, 130 stopped by hand."

app = typer.Typer(
    name="counterfoil",
    help="Keep, back up, restore and review invoicing accounts.",
    epilog=STATUS,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(account.app, name="account")
app.add_typer(backup.app, name="backup")
app.add_typer(member.app, name="member")
app.add_typer(people.app, name="people")
app.add_typer(notifications.app, name="notifications")
app.add_typer(field.app, name="field")
app.add_typer(timeline.app, name="timeline")
app.add_typer(token.app, name="token")
app.add_typer(password.app, name="password")
app.add_typer(subscription.app, name="subscription")
app.add_typer(importing.app, name="import")
app.add_typer(streams.app, name="streams")
app.add_typer(jobs.app, name="jobs")
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.command("inspect")(inspect.inspect)
app.command("restore")(restore.restore)
app.command("list")(listing.list_)
app.command("show")(show.show)
app.command("clone")(clone.clone)
app.command("timeline")(timeline.timeline)
app.command("rebuild")(rebuild.rebuild)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("cleanup")(cleanup.cleanup)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _with_status_and_example(*groups: typer.Typer) -> None:
    """Give each command's help its exit statuses, and its example a paragraph that can be copied: never wrapped."""
    for command in (command for group in groups for command in group.registered_commands):
        said = inspect_module.getdoc(command.callback) or ""
        command.help = said.replace("Example: ", "\n\n\b\nExample:\n  ")
        command.epilog = STATUS


_with_status_and_example(app, *(group.typer_instance for group in app.registered_groups if group.typer_instance))


def main() -> None:
    """Run the command line and end the process with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what is done must not fail at being told
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of the command line *arguments*."""
    try:
        status = app(arguments, prog_name="counterfoil", standalone_mode=False)
    except typer.TyperException as wrong:
        message = wrong.format_message()
        # Without a command, the message is the help itself.
        tell(message if message.startswith("Usage:") else f"counterfoil: {message} See --help for usage.")
        return wrong.exit_code
    except (typer.Abort, KeyboardInterrupt):
        tell("counterfoil: stopped; what was not finished was not done")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone: nothing to say, and nobody to say it to.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as wrong:  # noqa: BLE001 - the outermost edge: no traceback reaches a user
        return _failed(wrong, as_json="--json" in arguments)
    return status if isinstance(status, int) else 0


def _failed(wrong: Exception, *, as_json: bool) -> int:
    from domain.errors import CounterfoilError

    hint = ""
    if isinstance(wrong, CounterfoilError):
        code, reason = wrong.code, str(wrong)
        hint = f"\n  hint: {wrong.hint}" if wrong.hint else ""
    else:
        code, reason = _unforeseen(wrong)
    tell(f"counterfoil: {reason}{hint}")
    if as_json:
        report = getattr(wrong, "report", None)
        problem = {"code": code, "reason": clean(reason), **({} if report is None else {"report": report})}
        with contextlib.suppress(OSError):  # the output itself may be what failed
            print_out("", problem, as_json=True)
    return 1


def _unforeseen(wrong: Exception) -> tuple[str, str]:
    """Code and reason of what is no error of ours."""
    import psycopg

    from domain.store.database import DatabaseUnavailable

    if isinstance(wrong, psycopg.OperationalError):
        return DatabaseUnavailable.code, str(DatabaseUnavailable.because(wrong))
    if isinstance(wrong, OSError):
        return "file.refused", f"{wrong.filename or 'the output'}: {wrong.strerror or wrong}"
    return "program.failed", f"something that should not happen did ({type(wrong).__name__}); {_logged(wrong)}"


def _logged(wrong: Exception) -> str:
    """Where the traceback of *wrong* lies, in words."""
    from api.settings import load_settings

    try:
        folder = load_settings(os.environ).home / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.log"
        file.touch(mode=0o600)  # a message may quote what an account holds
        file.write_text("".join(traceback.format_exception(wrong)), "utf-8", "backslashreplace")
    except Exception:  # noqa: BLE001 - the first error is the one to tell
        return "no log of it could be written"
    return f"its trace lies in {file}"
