"""The command `boxline`: what is done beside the stages, which are DVC's."""

import argparse
import importlib
import logging
import sys

from pipeline.core.exit_codes import handle_errors

VERBS = ("check", "diff", "export", "outdated", "predict", "record", "repair", "trace", "verify")
"""Modules of pipeline/commands: each has HELP, DESCRIPTION, add_arguments and a function of its own name."""


def main() -> None:
    """Run the command line's words. Exit code 1 says that something was not done, 130 that Ctrl-C stopped it."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("pipeline").setLevel(logging.INFO)  # libraries are heard where they warn
    parser = argparse.ArgumentParser(prog="boxline", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name in VERBS:
        module = importlib.import_module(f"pipeline.commands.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(verb)
        verb.set_defaults(run=getattr(module, name))
    words = vars(parser.parse_args())
    run = words.pop("run")
    with handle_errors():
        code = run(**words)
        sys.stdout.flush()  # here, where it is known what to do if nobody reads on
    sys.exit(code)


if __name__ == "__main__":
    main()
