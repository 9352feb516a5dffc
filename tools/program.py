"""What every tool and benchmark does around its main(): arguments, and one line for an error."""

import inspect
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

from handwriting.core.errors import InputError


def run(main: Callable[..., int | None], hint: str = "") -> None:
    """Call main() with what the command line says of its parameters, then exit.

    One without a default is the list of all words; one whose default is False is a flag, and one
    whose default is a tuple takes several values. `hint` ends every error.
    """
    module = sys.modules["__main__"]
    name, doc = Path(str(module.__file__)).stem, module.__doc__
    parser = ArgumentParser(name, description=doc, formatter_class=RawDescriptionHelpFormatter)
    for each in inspect.signature(main).parameters.values():
        default, option = each.default, f"--{each.name.replace('_', '-')}"
        if default is each.empty:
            parser.add_argument(each.name, nargs="*")
        elif default is False:
            parser.add_argument(option, action="store_true")
        elif isinstance(default, tuple):
            parser.add_argument(option, nargs="+", type=type(default[0]), default=default)
        else:
            parser.add_argument(option, type=type(default), default=default)
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except (InputError, OSError) as error:
        sys.exit(f"{name}: {error}{hint}")
