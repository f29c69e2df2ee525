"""A server that speaks TDS on a real socket, with DuckDB behind it: what SQL Server is to the Dragonfish statements.

It prints one line `PORT RELAY_PORT` when it listens. The second port is a relay in front of the first, and lines on
standard input say what the relay does to every answer from then on: `pass`, `reset`, `close`, `hang` or `cut`.
It ends with its standard input.
"""

import dataclasses
import decimal
import socket
import struct
import sys
import threading

import duckdb
import sqlglot
from pysqlbridge import logins, server
from pysqlbridge.tds import connection
from pysqlbridge.tds.result import Column, ColumnType, NVarChar, Query, QueryError, QueryResult
from sqlglot import exp

# Fixed-length columns come back padded, as SQL Server sends them.
CHARS = {"COART": 15, "COCOL": 6, "TALLE": 5}
ROWS = {
    "WOO": [("A B", "N01", "42", "-2.00"), ("ÑANDÚ", "N01", "42", "0.00"), ("TWICE", "N01", "1", "1.00")],
    "CENTRO": [
        ("a b", "n01", "42", "3.50"),
        ("ÑANDÚ", "N01", "42", "0.00"),
        ("TWICE", "N01", "1", "1.00"),
        ("TWICE", "N01", "1", "1.00"),
        ("NULLED", "N01", "1", None),
    ],
    "LA PLATA": [("A B", "N01", "42", "123456789012.45"), ("ÑANDÚ", "N01", "42", "7.00")],
}
STATES = {"ZOOLOGICMASTER": "ONLINE", "NORTE": "OFFLINE"}


class Numeric(ColumnType):
    """NUMERICN(15, 2): a sign byte and eight bytes of magnitude."""

    def type_info(self):
        return bytes([0x6C, 9, 15, 2])

    def encode(self, value):
        if value is None:
            return b"\x00"
        units = int((decimal.Decimal(value) * 100).to_integral_exact())
        return bytes([9, 1 if units >= 0 else 0]) + struct.pack("<Q", abs(units))


def named(parse):
    """ODBC drivers send the values of `?` without names; the server's handler wants names."""

    def wrapped(*args):
        call = parse(*args)
        if call.sql is None:
            return call
        values = call.parameters[2:]
        values = [
            value if value.name else dataclasses.replace(value, name=f"@P{number}")
            for number, value in enumerate(values, 1)
        ]
        return dataclasses.replace(call, parameters=list(call.parameters[:2]) + values)

    return wrapped


def about(original):
    def wrapped(self):
        session = original(self)
        session["base"] = (self._login.database if self._login else "") or "master"
        return session

    return wrapped


connection.parse_rpc = named(connection.parse_rpc)
connection.Connection._about = about(connection.Connection._about)


def data():
    db = duckdb.connect()
    db.execute("CREATE SCHEMA sys; CREATE TABLE sys.databases (name VARCHAR, state_desc VARCHAR)")
    char = "VARCHAR COLLATE NOCASE.NOACCENT"
    for base, rows in ROWS.items():
        name = f"DRAGONFISH_{base}"
        db.execute(f'ATTACH \':memory:\' AS "{name}"; CREATE SCHEMA "{name}".ZooLogic')
        db.execute(
            f'CREATE TABLE "{name}".ZooLogic.COMB '
            f"(COART {char}, COCOL {char}, TALLE {char}, COCANT DECIMAL(15, 2))"
        )
        db.executemany(f'INSERT INTO "{name}".ZooLogic.COMB VALUES (?, ?, ?, ?)', rows)
        db.execute("INSERT INTO sys.databases VALUES (?, 'ONLINE')", [name])
    for base, state in STATES.items():
        db.execute("INSERT INTO sys.databases VALUES (?, ?)", [f"DRAGONFISH_{base}", state])
    db.execute("INSERT INTO sys.databases VALUES ('DRAGONFISHING', 'ONLINE'), ('master', 'ONLINE')")
    return db


def translated(sql, parameters, base):
    """The statement as DuckDB reads it; the client's text itself stays T-SQL."""
    try:
        tree = sqlglot.parse_one(sql, read="tsql")
    except sqlglot.errors.ParseError as err:
        raise QueryError(f"Incorrect syntax: {err}"[:200], number=102) from None
    values = {name.lstrip("@").upper(): value for name, value in parameters.items()}

    def change(node):
        if isinstance(node, exp.Parameter):
            return exp.Literal.string(str(values[node.name.upper()]))
        if isinstance(node, exp.Anonymous) and node.name.upper() == "HAS_PERMS_BY_NAME":
            return exp.Literal.string("1" if base.upper().endswith("_WOO") else "0")
        if isinstance(node, exp.Like) and "[_]" in node.expression.name:
            pattern = exp.Literal.string(node.expression.name.replace("[_]", "!_"))
            return exp.Escape(this=exp.Like(this=node.this, expression=pattern), expression=exp.Literal.string("!"))
        return node

    return tree.transform(change).sql(dialect="duckdb")


def handler(db, lock):
    def answer(query: Query):
        if query.procedure or not query.sql.lstrip().startswith(("SELECT", "--")):
            return QueryResult(columns=[], rows=[])
        base = query.session.get("base", "master")
        text = translated(query.sql, query.parameters, base)
        with lock:
            try:
                db.execute('USE "%s"' % ("memory" if base.lower() == "master" else base))
                found = db.execute(text)
                columns = [(one[0], str(one[1])) for one in found.description]
                rows = found.fetchall()
            except duckdb.CatalogException as err:
                raise QueryError(f"Invalid object name: {err}"[:200], number=208) from None
            except duckdb.BinderException as err:
                raise QueryError(f"Invalid column name: {err}"[:200], number=207) from None
        shapes = [Column(name, Numeric() if kind.startswith("DECIMAL") else NVarChar(128)) for name, kind in columns]
        widths = [CHARS.get(name.upper(), 0) for name, _ in columns]
        cells = [
            [cell.ljust(width) if width and cell is not None else cell for cell, width in zip(row, widths)]
            for row in rows
        ]
        return QueryResult(columns=shapes, rows=cells)

    return answer


class Relay:
    """Passes bytes on, and does what it was told to the answers."""

    def __init__(self, port):
        self.mode, self.port = "pass", port
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.socket.accept()
            peer = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.up, args=(client, peer), daemon=True).start()
            threading.Thread(target=self.down, args=(client, peer), daemon=True).start()

    def up(self, client, peer):
        try:
            while chunk := client.recv(65536):
                peer.sendall(chunk)
        except OSError:
            pass
        peer.close()

    def down(self, client, peer):
        try:
            while chunk := peer.recv(65536):
                mode = self.mode
                if mode == "pass":
                    client.sendall(chunk)
                elif mode == "hang":
                    continue
                else:
                    if mode == "cut":
                        client.sendall(chunk[: len(chunk) // 2])
                    if mode == "reset":
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    else:
                        client.shutdown(socket.SHUT_RDWR)
                    break
        except OSError:
            pass
        client.close()


def main():
    accounts = logins.LoginStore([logins.Login("reader", logins.hash_password("p;w d"), True)])
    listening, _ = server.start_background(query_handler=handler(data(), threading.Lock()), logins=accounts)
    port = listening.address[1]
    relay = Relay(port)
    print(port, relay.socket.getsockname()[1], flush=True)
    for line in sys.stdin:
        relay.mode = line.strip()
        print("ok", flush=True)


main()
