"""Parses every statement of a folder as T-SQL with two parsers that know nothing of each other."""

import pathlib
import sys

import sqlfluff
import sqlglot
from sqlglot import exp

# What SQL Server surely has. Both parsers take a function that it lacks for one of the user's own.
FUNCTIONS = {"ISNULL", "COALESCE", "CONVERT", "CAST", "GETDATE", "CURRENT_TIMESTAMP", "LEFT", "DATEADD", "DATE_ADD", "SUM"}
FUNCTIONS |= {"COUNT", "HAS_PERMS_BY_NAME", "AND", "OR", "TS_OR_DS_ADD", "TIME_TO_STR", "TRY_CAST", "TS_OR_DS_TO_DATE"}
WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Into, exp.Command, exp.Alter)

files = sorted(pathlib.Path(sys.argv[1]).glob("*.sql"))
for path in files:
    text = path.read_text(encoding="utf-8")
    trees = sqlglot.parse(text, read="tsql")
    # A login that can only read runs them: one statement a file, and none that writes.
    assert len(trees) == 1 and isinstance(trees[0], exp.Select), f"{path}: not one SELECT"
    assert not list(trees[0].find_all(*WRITES)), f"{path}: it writes"
    used = {node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name() for node in trees[0].find_all(exp.Func)}
    assert used <= FUNCTIONS, f"{path}: {used - FUNCTIONS} are not on the list of functions"
    # sqlfluff knows no `?`; a variable stands in the same places.
    sqlfluff.parse(text.replace("?", "@v"), dialect="tsql")
    print(path.name)
sys.exit(0 if files else 1)
