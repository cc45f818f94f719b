"""`python -m ie_cli` is `ie`."""

from ie_cli.cli import main

main()
