"""The command `boxline`: everything besides the stages, which DVC runs."""

import difflib
import logging
import sys

from cyclopts import App, CycloptsError, Group, Parameter, UnknownCommandError

from pipeline.core.exit_codes import USAGE_ERROR, handle_errors
from pipeline.core.terminal import escape_unencodable_output

logger = logging.getLogger(__name__)

COMMANDS = {
    "Data": {
        "add": "Add a dataset in a usual file format to params.yaml.",
        "check": "Check the data as the stage validate does.",
        "diff": "Show what changed in the data between two revisions.",
        "export": "Write tables as COCO, YOLO or VOC.",
        "outdated": "List datasets whose source has changed since their download.",
        "show": "Print rows of the tables, or draw an image with its boxes.",
    },
    "Models": {
        "evaluate": "Verify the scores of a system with pycocotools.",
        "export-model": "Write a trained model in another format.",
        "predict": "Find objects in your own images.",
        "summary": "Compare the scores of all systems and their variants.",
    },
    "Runs and remote": {
        "record": "Record this run on the branch `runs`.",
        "trace": "Find the run that produced a file.",
        "verify": "Check that the remote has everything in dvc.lock.",
        "repair": "Restore objects that are missing or corrupt in the remote.",
    },
    "Project": {
        "params": "Check params.yaml.",
    },
}
"""Names and one-line summaries by group. Modules are imported when their command runs, so that --help is fast."""


def main() -> None:
    """Run the command line; see pipeline/core/exit_codes.py for the exit codes."""
    escape_unencodable_output()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("pipeline").setLevel(logging.INFO)  # libraries log warnings only
    arguments = sys.argv[1:]
    with handle_errors():
        try:
            code = _build_app(arguments)(arguments, exit_on_error=False, print_error=False)
        except UnknownCommandError:
            known = [name for commands in COMMANDS.values() for name in commands]
            guesses = difflib.get_close_matches(arguments[0], known, n=1)
            hint = f" Did you mean {guesses[0]}?" if guesses else ""
            logger.error("Error: unknown command %r, expected one of %s.%s", arguments[0], ", ".join(known), hint)
            sys.exit(USAGE_ERROR)
        except CycloptsError as error:
            logger.error("Error: %s See `boxline %s --help`.", " ".join(str(error).split()), arguments[0])
            sys.exit(USAGE_ERROR)
        sys.stdout.flush()  # here, so that handle_errors handles a closed pipe
    sys.exit(code)


def _build_app(arguments: list[str]) -> App:
    app = App(
        name="boxline",
        help="Commands of the Boxline project. The stages of the pipeline run by `dvc repro`.",
        help_format="markdown",
        help_formatter="plain",
        version_flags=[],
        default_parameter=Parameter(negative=(), consume_multiple=True),
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # handle_errors reports it
    )
    app["--help"].group = Group.create_ordered("Options")
    for title, commands in COMMANDS.items():
        group = Group.create_ordered(title)
        for name, summary in commands.items():
            # Only for the list of commands: in the help of the command itself it would replace the docstring.
            listed = None if arguments[:1] == [name] else summary
            function = name.replace("-", "_")
            app.command(f"pipeline.cli.{function}:{function}", name=name, help=listed, group=group)
    return app


if __name__ == "__main__":
    main()
