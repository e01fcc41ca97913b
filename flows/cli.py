"""The command `actlas`. What a command needs is imported when it runs, so that each answers at once."""

from __future__ import annotations

import itertools
import os
import sys
import warnings

# Idle OpenMP threads that spin cost the decoding threads their cores; libgomp reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import typer

from flows.commands import compare, dream, explain, run, saliency, serve, show, unit, view
from flows.commands import questions as question_commands
from flows.commands import store as store_commands
from storage.errors import ActlasError

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
question_commands.add_to(app)
unit.add_to(app)
saliency.add_to(app)
dream.add_to(app)
show.add_to(app)
explain.add_to(app)
compare.add_to(app)
view.add_to(app)
store_commands.add_to(app)
serve.add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code; what a person can mend is one line on stderr."""
    sys.exit(invoke(sys.argv[1:] if arguments is None else arguments))


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    # torch warns of its own scripts, which is nothing that a user of ours could act on.
    warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", FutureWarning)
    try:
        code = app(spread(arguments) or ["--help"], prog_name="actlas", standalone_mode=False)
        if not arguments:
            return 2
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        return _misused(error, arguments)
    except typer.Abort:
        print("actlas: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except SystemExit as leaving:
        if leaving.code == 130:
            print("actlas: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return leaving.code if isinstance(leaving.code, int) else 1
    except ActlasError as error:
        print(f"actlas: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `actlas sql … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"actlas: {error.filename or 'the system'}: {_reason(error)}", file=sys.stderr)
        return 1


def _misused(error: typer.TyperException, arguments: list[str]) -> int:
    """Say in one line what is wrong with the command as it was written."""
    message = str(getattr(error, "format_message", error.__str__)())
    options = getattr(getattr(error, "param", None), "opts", [])
    given = [value for option, value in itertools.pairwise(arguments) if option in options]
    value = f" (it was {given[-1]})" if given else ""
    context = getattr(error, "ctx", None)
    help = f"; {context.command_path} --help says what there is" if context is not None else ""
    print(f"actlas: {message.rstrip('.')}{value}{help}", file=sys.stderr)
    return 2


def _reason(error: OSError) -> str:
    folder = os.path.dirname(str(error.filename or ""))
    if isinstance(error, FileNotFoundError) and folder and not os.path.isdir(folder):
        return f"there is no folder {folder}"
    return str(error.strerror or error)


SEVERAL = ("--layers", "--grids", "--axes", "--with")


def spread(arguments: list[str]) -> list[str]:
    """Let an option take several values in a row: `--layers a b` becomes `--layers a --layers b`."""
    spelled: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in SEVERAL else None
        elif option is not None and spelled[-1] != option:
            spelled.append(option)
        spelled.append(argument)
    return spelled


if __name__ == "__main__":
    main()
