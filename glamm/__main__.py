"""`python -m glamm` is the `glamm` command."""

from glamm.cli import main

main()
