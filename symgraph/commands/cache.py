"""`symgraph cache`: what compiled code is kept on disk."""

import argparse

from symgraph.commands.shared import Commands, add_command

_ABOUT = """\
Tell what compiled code is kept on disk, or remove it.

The backend "llvm" keeps the machine code of programs, so that the next process does not compile them again. An entry
belongs to a graph with its sizes, the features of the processor, the version of LLVM and that of symgraph; damaged
ones are compiled again, and programs with ops of your own are not kept. When there is more than 512 MB, what was used
longest ago is removed. To remove it all does no harm.
"""

_EXAMPLES = """\
the actions:
  info    the folder, the number of entries, and their size; what is done where none is named
  clear   remove all entries

the folder:
  the environment variable SYMGRAPH_CACHE_DIR names it, or is `off`; else it is symgraph in the folder where
  the system keeps caches ($XDG_CACHE_HOME or ~/.cache, ~/Library/Caches, %LOCALAPPDATA%)

examples:
  symgraph cache
  symgraph cache clear
  SYMGRAPH_CACHE_DIR=/scratch/symgraph symgraph cache info
"""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands, "cache", _run, help="what compiled code is kept on disk", about=_ABOUT, examples=_EXAMPLES
    )
    parser.add_argument(
        "action", nargs="?", choices=tuple(_ACTION), default="info", metavar="ACTION", help="see below; info"
    )


def _run(args: argparse.Namespace) -> None:
    _ACTION[args.action]()


def _info() -> None:
    from symgraph.lowering.llvm.cache import contents

    kept = contents()
    print(f"folder   {kept.place or f'none: {kept.reason}'}")
    print(f"entries  {kept.entries}")
    print(f"bytes    {kept.size}")


def _clear() -> None:
    from symgraph.lowering.llvm.cache import clear, folder

    place, reason = folder()
    if place is None:
        print(f"there is no cache: {reason}")
        return
    removed = clear()
    print(f"removed {removed} {'entry' if removed == 1 else 'entries'} from {place}")


_ACTION = {"info": _info, "clear": _clear}
