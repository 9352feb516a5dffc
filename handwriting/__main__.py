"""python -m handwriting."""

from handwriting.cli import main

main()
