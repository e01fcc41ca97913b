"""Runs the code that is its first argument, as `python -c` does: for forks of `support.warm`."""

import sys

exec(sys.argv.pop(1))
