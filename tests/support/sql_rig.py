"""A server that speaks TDS on a real socket, with DuckDB behind it: what SQL Server is to the Dragonfish statements.

usage: sql_rig.py [--empty] [--rows N]

It prints one line `PORT RELAY_PORT` when it listens. The second port is a relay in front of the first. Lines on standard
input are obeyed and answered by `ok`:

  pass, reset, close, hang, cut   what the relay does to every answer from then on
  load FILE                       replaces all stock by the lines `base<TAB>article<TAB>colour<TAB>size<TAB>quantity`
  offline BASE,BASE,…              these bases, and no others, are offline
  run SQL                         runs a statement of DuckDB's, for what a test changes on the way
  seen                            answers by the number of statements so far instead of `ok`

It ends with its standard input. `--empty` begins without rows, `--rows N` adds a base BIG with N stock rows.
"""

import argparse
import dataclasses
import datetime
import decimal
import functools
import re
import socket
import struct
import sys
import threading

import duckdb
import sqlglot
from pysqlbridge import logins, server
from pysqlbridge.tds import connection
from pysqlbridge.tds.result import Column, ColumnType, Integer, NVarChar, Query, QueryError, QueryResult
from sqlglot import exp

# Fixed-length columns come back padded, as SQL Server sends them.
CHARS = {
    "COART": 15, "COCOL": 6, "TALLE": 5, "CARTICUL": 15, "CCOLOR": 6, "CTALLE": 5, "CCODIGO": 20,
    "MART": 15, "REMITO": 15, "CODIGO": 38, "HALTAFW": 8,
}
BASES = ("WOO", "CENTRO", "LA PLATA", "MELI")
STOCK = {
    "WOO": [("A B", "N01", "42", "-2.00"), ("ÑANDÚ", "N01", "42", "0.00"), ("TWICE", "N01", "1", "1.00")],
    "CENTRO": [
        ("a b", "n01", "42", "3.50"),
        ("ÑANDÚ", "N01", "42", "0.00"),
        ("TWICE", "N01", "1", "1.00"),
        ("TWICE", "N01", "1", "1.00"),
        ("NULLED", "N01", "1", None),
    ],
    "LA PLATA": [("A B", "N01", "42", "123456789012.45"), ("ÑANDÚ", "N01", "42", "7.00")],
    "MELI": [("A B", "N01", "42", "99.00")],
}
# Several bar codes of a variant are normal; one may stand for a pack.
BAR_CODES = [
    ("A!N01!42", "A B", "N01", "42", "1.00"),
    ("7790001000012", "A B", "N01", "42", "1.00"),
    ("PACK-OF-6", "ÑANDÚ", "N01", "42", "6.00"),
]
STATES = {"ZOOLOGICMASTER": "ONLINE", "ADNIMPLANT": "ONLINE", "NORTE": "OFFLINE"}
LONG_AGO = "2020-01-01"
# An answer of so many rows is kept.
LONG = 100_000

CHAR = "VARCHAR COLLATE NOCASE.NOACCENT"
TABLES = f"""
CREATE TABLE COMB (COART {CHAR}, COCOL {CHAR}, TALLE {CHAR}, COCANT DECIMAL(15, 2),
    FMODIFW TIMESTAMP DEFAULT '{LONG_AGO}', HMODIFW VARCHAR DEFAULT '00:00:00');
CREATE TABLE EQUI (CCODIGO {CHAR}, CARTICUL {CHAR}, CCOLOR {CHAR}, CTALLE {CHAR}, NCANTIDAD DECIMAL(8, 2));
CREATE TABLE MSTOCK (CODIGO VARCHAR, NUMERO DECIMAL(8, 0), FECHA TIMESTAMP, DIRMOV DECIMAL(1, 0), REMITO {CHAR},
    MOBS {CHAR}, ANULADO BOOLEAN, FALTAFW TIMESTAMP, HALTAFW VARCHAR);
CREATE TABLE DETMSTOCK (NUMR VARCHAR, NROITEM INTEGER, MART {CHAR}, CCOLOR {CHAR}, TALLE {CHAR}, CANTI DECIMAL(10, 2));
CREATE TABLE COMPROBANTEV (FACTTIPO DECIMAL(2, 0), OPECOMM {CHAR});
"""


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


def at_once(sock):
    """Answers go in pieces: without this each waits for the acknowledgement of the one before it."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


server._Handler.setup = lambda handler: at_once(handler.request)
connection.parse_rpc = named(connection.parse_rpc)
connection.Connection._about = about(connection.Connection._about)


class Data:
    """The bases, one connection to DuckDB at a time."""

    def __init__(self, empty, rows):
        self.lock, self.n_seen, self.kept = threading.Lock(), 0, {}
        self.db = db = duckdb.connect()
        db.execute("CREATE SCHEMA sys; CREATE TABLE sys.databases (name VARCHAR, state_desc VARCHAR)")
        db.execute("INSERT INTO sys.databases VALUES ('DRAGONFISHING', 'ONLINE'), ('master', 'ONLINE')")
        for base, state in STATES.items():
            db.execute("INSERT INTO sys.databases VALUES (?, ?)", [f"DRAGONFISH_{base}", state])
        if empty:
            return
        for base in BASES:
            self.base(base)
            db.executemany("INSERT INTO COMB (COART, COCOL, TALLE, COCANT) VALUES (?, ?, ?, ?)", STOCK[base])
            db.executemany("INSERT INTO EQUI VALUES (?, ?, ?, ?, ?)", BAR_CODES)
        if rows:
            self.base("BIG")
            db.execute(
                "INSERT INTO COMB (COART, COCOL, TALLE, COCANT) SELECT 'ART' || (i // 40), 'C' || (i // 8 % 5), "
                f"(30 + i % 8)::VARCHAR, i % 1000 + 0.25 FROM range({rows}) AS numbers(i)"
            )

    def base(self, code):
        """Makes a base if there is none, and uses it."""
        name = f"DRAGONFISH_{code}"
        known = self.db.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = ?", [name]).fetchall()
        if not known:
            self.db.execute(f'ATTACH \':memory:\' AS "{name}"; CREATE SCHEMA "{name}".ZooLogic')
            self.db.execute("INSERT INTO memory.sys.databases VALUES (?, 'ONLINE')", [name])
        self.db.execute(f'USE "{name}".ZooLogic')
        if not known:
            self.db.execute(TABLES)

    def load(self, path):
        self.db.execute("USE memory")
        self.db.execute(
            "CREATE OR REPLACE TABLE loaded AS SELECT * FROM read_csv(?, delim='\t', header=false, quote='', escape='', "
            "columns={'base': 'VARCHAR', 'a': 'VARCHAR', 'c': 'VARCHAR', 's': 'VARCHAR', 'q': 'DECIMAL(15, 2)'})",
            [path],
        )
        for (code,) in self.db.execute("SELECT DISTINCT base FROM loaded").fetchall():
            self.base(code)
            # What is not as it was bears the time at which it was written, as the product stamps it.
            self.db.execute("CREATE OR REPLACE TABLE memory.before AS SELECT * FROM COMB; DELETE FROM COMB")
            now = datetime.datetime.now()
            self.db.execute(
                "INSERT INTO COMB SELECT a, c, s, q, "
                "CASE WHEN COCANT IS NOT DISTINCT FROM q THEN FMODIFW ELSE ? END, "
                "CASE WHEN COCANT IS NOT DISTINCT FROM q THEN HMODIFW ELSE ? END "
                "FROM memory.loaded LEFT JOIN memory.before ON a = COART AND c = COCOL AND s = TALLE WHERE base = ?",
                [now.strftime("%Y-%m-%d"), now.strftime("%H:%M:%S"), code],
            )

    def offline(self, codes):
        self.db.execute("UPDATE memory.sys.databases SET state_desc = 'ONLINE' WHERE name LIKE 'DRAGONFISH!_%' ESCAPE '!'")
        for code in codes:
            name = f"DRAGONFISH_{code}"
            self.db.execute("UPDATE memory.sys.databases SET state_desc = 'OFFLINE' WHERE name = ?", [name])


@functools.cache
def translated(sql, base):
    """The statement as DuckDB reads it, with `{NAME}` where a value belongs; the client's text itself stays T-SQL."""
    try:
        tree = sqlglot.parse_one(sql, read="tsql")
    except sqlglot.errors.ParseError as err:
        raise QueryError(f"Incorrect syntax: {err}"[:200], number=102) from None

    def change(node):
        if isinstance(node, exp.Parameter):
            return exp.Literal.string(f"{{{node.name.upper()}}}")
        if isinstance(node, exp.Anonymous) and node.name.upper() == "HAS_PERMS_BY_NAME":
            return exp.Literal.string("1" if base.upper().endswith("_WOO") else "0")
        if isinstance(node, exp.CurrentTimestamp):
            # The server's clock has no zone.
            return exp.cast(exp.Literal.string("{NOW}"), "timestamp")
        if isinstance(node, exp.Like) and "[_]" in node.expression.name:
            pattern = exp.Literal.string(node.expression.name.replace("[_]", "!_"))
            return exp.Escape(this=exp.Like(this=node.this, expression=pattern), expression=exp.Literal.string("!"))
        return node

    text = tree.transform(change).sql(dialect="duckdb")
    # Fixed length cuts: the other side's TEXT knows no length.
    for length in (8, 10, 19):
        text = text.replace(f"AS TEXT({length}))", f"AS VARCHAR)[:{length}]")
    # Letter case does not matter there, and LIKE is not covered by the collation here.
    return text.replace(" LIKE ", " ILIKE ")


def filled(text, parameters):
    """A translated statement with its values."""
    values = {name.lstrip("@").upper(): str(value) for name, value in parameters.items()}
    values["NOW"] = datetime.datetime.now().isoformat()
    return re.sub(r"\{(\w+)\}", lambda place: values[place[1]].replace("'", "''"), text)


def handler(data):
    def answer(query: Query):
        if query.procedure or not query.sql.lstrip().startswith(("SELECT", "WITH", "--")):
            return QueryResult(columns=[], rows=[])
        base = query.session.get("base", "master")
        text = filled(translated(query.sql, base), query.parameters)
        if (base, text) in data.kept:
            return data.kept[base, text]
        with data.lock:
            data.n_seen += 1
            try:
                data.db.execute('USE "%s"' % ("memory" if base.lower() == "master" else base))
                found = data.db.execute(text)
                columns = [(one[0], str(one[1])) for one in found.description]
                rows = found.fetchall()
            except duckdb.CatalogException as err:
                raise QueryError(f"Invalid object name: {err}"[:200], number=208) from None
            except duckdb.BinderException as err:
                raise QueryError(f"Invalid column name: {err}"[:200], number=207) from None
        shapes = [Column(name, shape(kind)) for name, kind in columns]
        widths = [CHARS.get(name.upper(), 0) for name, _ in columns]
        cells = [
            [cell.ljust(width) if width and cell is not None else cell for cell, width in zip(row, widths)]
            for row in rows
        ]
        if len(cells) < LONG:
            return QueryResult(columns=shapes, rows=cells)
        kept = data.kept[base, text] = Kept(columns=shapes, rows=cells)
        return kept

    return answer


class Kept(QueryResult):
    """A long answer that is asked for again: it is put on the wire from memory, so that the client is what is timed."""

    def encode(self, *args, **named):
        kept = self.__dict__.get("kept")
        if kept is None:
            kept = super().encode(*args, **named)
            object.__setattr__(self, "kept", kept)
            self.rows.clear()
        return kept


def shape(kind):
    if kind.startswith("DECIMAL"):
        return Numeric()
    if kind in ("INTEGER", "BIGINT", "NUMBER"):
        return Integer(8)
    return NVarChar(4000)


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
            at_once(client)
            at_once(peer)
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


def obey(line, relay, data):
    word, _, rest = line.strip().partition(" ")
    if word in ("pass", "reset", "close", "hang", "cut"):
        relay.mode = word
        return "ok"
    with data.lock:
        if word == "seen":
            return str(data.n_seen)
        if word == "load":
            data.load(rest)
        elif word == "offline":
            data.offline(rest.split(",") if rest else [])
        elif word == "run":
            data.db.execute("USE memory")
            data.db.execute(rest)
        else:
            return f"no such order: {word}"
    return "ok"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--rows", type=int, default=0)
    args = parser.parse_args()
    data = Data(args.empty, args.rows)
    # One round: nobody guesses here, and every process of a day logs in.
    secret = logins.hash_password("p;w d", iterations=1)
    accounts = logins.LoginStore([logins.Login("reader", secret, True)])
    listening, _ = server.start_background(query_handler=handler(data), logins=accounts)
    port = listening.address[1]
    relay = Relay(port)
    print(port, relay.socket.getsockname()[1], flush=True)
    for line in sys.stdin:
        try:
            told = obey(line, relay, data)
        except duckdb.Error as err:
            told = str(err).replace("\n", " ")
        print(told, flush=True)


main()
