"""The subcommands of the command line, a file each: `add(commands)` adds its parser and says what runs.

add : subparsers -> ()          sets `run : arguments -> exit code`, where None is 0
"""
