"""The command `actlas`. Each command imports what it needs when it runs, so that the others start fast."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import warnings
from typing import Annotated

# Idle OpenMP threads that spin cost the decoding threads their cores; libgomp reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

INTERRUPTED = 130
"""The exit code after Ctrl-C."""

try:
    import typer

    from flows.commands import (
        ablate,
        audit,
        cells,
        compare,
        dream,
        explain,
        run,
        saliency,
        serve,
        show,
        sql,
        units,
        view,
    )
    from flows.commands import store as store_commands
    from flows.commands.shared import arguments as typed
    from flows.commands.shared import terminal
    from storage import masking
    from storage.errors import ActlasError, first_line
    from storage.models import user_code
except KeyboardInterrupt:
    print("actlas: interrupted; nothing was written", file=sys.stderr)
    sys.exit(INTERRUPTED)

app = typer.Typer(
    name="actlas",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See what a vision model has learned: from a model and a folder of images to a published activation atlas.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with rejected images, 4 not found, 5 threshold crossed, "
    "130 interrupted.",
)
run.add_to(app)
units.add_to(app)
ablate.add_to(app)
audit.add_to(app)
cells.add_to(app)
sql.add_to(app)
saliency.add_to(app)
dream.add_to(app)
show.add_to(app)
explain.add_to(app)
compare.add_to(app)
view.add_to(app)
store_commands.add_to(app)
serve.add_to(app)

OUTCOMES = {
    "run": "the same command resumes it",
    "compare": "the same command resumes it",
    "view": "the viewer has stopped",
    "serve": "the schedule stays, and runs that come due start when it is served again",
    "export": "the folder is unchanged",
    "gc": "the same command resumes it",
    "verify": "the same command starts from the beginning",
    "runs": "`actlas runs list` shows the versions there are",
}
"""What a command that was interrupted leaves."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"actlas {version('actlas')}")
        raise typer.Exit


@app.callback()
def options(
    print_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; an error that a user can mend is one line on stderr."""
    terminal.open_closed_streams()
    try:
        code = invoke(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # a second one, while the first was being reported
        code = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said; what Python still does would print a traceback
    sys.exit(code)


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    # torch warns of its own scripts, which no user of ours can act on.
    warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", FutureWarning)
    # flows/scheduling/prefect_home.py names the folder where it matters.
    warnings.filterwarnings("ignore", "Failed to create the Prefect home directory", UserWarning)
    # Where processes can't share semaphores (a read-only /dev/shm), numba and joblib do without, and say so at length.
    warnings.filterwarnings("ignore", module=r"numba\.np\.ufunc\.parallel|joblib\._multiprocessing_helpers")
    terminal.write_anything()
    terminal.have_a_home()
    try:
        typed.check_secrets(arguments, os.environ)
        code = app(spread(arguments) or ["--help"], prog_name="actlas", standalone_mode=False)
        sys.stdout.flush()
        if not arguments:
            return 2
        if code == INTERRUPTED:  # typer returns it for Ctrl-C, and prints nothing
            return _report_interrupt(arguments)
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        return _report_misuse(error, arguments)
    except (typer.Abort, KeyboardInterrupt):
        return _report_interrupt(arguments)
    except SystemExit as leave:
        if isinstance(leave.__context__, BrokenPipeError):  # typer leaves so where the reader of our output has left
            terminal.drop_output()
            return 0
        return _report_interrupt(arguments) if leave.code == INTERRUPTED else _report_user_code(leave, arguments)
    except ActlasError as error:
        text = typed.with_store(str(error), arguments)
        _complain(typed.with_settings(text, _options(arguments)) if "--" in text else text)
        return error.exit_code
    except OSError as error:
        if user_code.place(error) is not None:
            return _report_user_code(error, arguments)
        return _report_system(error)
    except BaseException as error:  # a user's code may raise any
        return _report_user_code(error, arguments)


def _options(arguments: list[str]) -> set[str]:
    """Return the options of the command that was typed."""
    command = typer.main.get_command(app)
    for name in arguments:
        command = getattr(command, "commands", {}).get(name, command)
    return {spelled for parameter in command.params for spelled in (*parameter.opts, *parameter.secondary_opts)}


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
"""Characters that would break the line, or steer the terminal."""


def _complain(text: str) -> None:
    """Print an error in one line, without secrets, whatever a user's code or a file has put into it."""
    terminal.complain(f"actlas: {_CONTROL.sub(' ', masking.masked(text))}")


def _report_system(error: OSError) -> int:
    """Print in one line what the system refused; nothing where only the reader of our output has left."""
    lost = terminal.output_is_lost()
    if lost and isinstance(error, BrokenPipeError):  # `actlas sql … | head`
        return 0
    _complain(f"{error.filename or ('the output' if lost else 'the system')}: {_reason(error)}")
    return 1


def _report_user_code(error: BaseException, arguments: list[str]) -> int:
    """Print in one line where a model or a user's code failed or left Python; raise what was raised by neither."""
    place, where = user_code.place(error), _place_in_model(error)
    if place is None and isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if place is None and where is None:
        raise error
    reason = f"fails: {type(error).__name__}: {first_line(error)}"
    if isinstance(error, SystemExit):
        reason = f"calls sys.exit({error.code})"
    named = [value for option, value in itertools.pairwise(arguments) if option == "--model"]
    line = f"model {named[-1]}: {where}" if where and named else f"the model: {where}" if where else ""
    line = line or f"the code of the model {reason}"
    _complain(f"{line} ({place})" if place else line)
    return 1


def _place_in_model(error: BaseException) -> str | None:
    """Return the module that was running, its input and the cause; None where none was, or no model was loaded."""
    if "torch" not in sys.modules:
        return None
    from atlas.model import trial

    return trial.failure(error)


def _report_interrupt(arguments: list[str]) -> int:
    """Print in one line that the command was interrupted; return the exit code."""
    outcome = OUTCOMES.get(arguments[0] if arguments else "", "nothing was written")
    _complain(f"interrupted; {outcome}")
    return INTERRUPTED


def _report_misuse(error: typer.TyperException, arguments: list[str]) -> int:
    """Print in one line what is wrong with the command; return the exit code of a misuse."""
    message = str(getattr(error, "format_message", error.__str__)())
    options = getattr(getattr(error, "param", None), "opts", [])
    values = [value for option, value in itertools.pairwise(arguments) if option in options]
    value = f" (it was {values[-1]})" if values else ""
    context = getattr(error, "ctx", None)
    hint = f"; {context.command_path} --help says what there is" if context is not None else ""
    _complain(f"{message.rstrip('.')}{value}{hint}")
    return 2


def _reason(error: OSError) -> str:
    """Return the system's reason, or the folder that is missing."""
    folder = os.path.dirname(str(error.filename or ""))
    if isinstance(error, FileNotFoundError) and folder and not os.path.isdir(folder):
        return f"there is no folder {folder}"
    return str(error.strerror or error)


SEVERAL = ("--layers", "--grids", "--axes", "--with", "--keep")
"""Options that take several values in a row."""


def spread(arguments: list[str]) -> list[str]:
    """Let an option take several values in a row: `--layers a b` becomes `--layers a --layers b`."""
    expanded: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in SEVERAL else None
        elif option is not None and expanded[-1] != option:
            expanded.append(option)
        expanded.append(argument)
    return expanded


if __name__ == "__main__":
    main()
