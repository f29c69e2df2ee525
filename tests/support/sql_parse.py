"""Parses every statement of a folder as T-SQL with two parsers that know nothing of each other."""

import pathlib
import sys

import sqlfluff
import sqlglot

files = sorted(pathlib.Path(sys.argv[1]).glob("*.sql"))
for path in files:
    text = path.read_text(encoding="utf-8")
    trees = sqlglot.parse(text, read="tsql")
    # A login that can only read runs them: one statement a file, and none that writes.
    assert len(trees) == 1 and isinstance(trees[0], sqlglot.exp.Select), f"{path}: not one SELECT"
    # sqlfluff knows no `?`; a variable stands in the same places.
    sqlfluff.parse(text.replace("?", "@v"), dialect="tsql")
    print(path.name)
sys.exit(0 if files else 1)
