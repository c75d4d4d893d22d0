"""The SQL that the SQLite engine runs; ``cse.storage.schema`` declares the tables (a test holds both together).

Rows are tuples in the order of the columns here.
"""

from __future__ import annotations

#: version of the tables; a store with an earlier one is brought up to it (``migrations``), one with a later one refused
SCHEMA_VERSION = 3
#: what the header of a store says to be recognised as ours: "onem"
APPLICATION_ID = 0x6F6E656D

CREATE = (
    "CREATE TABLE meta (name VARCHAR NOT NULL, value VARCHAR NOT NULL, PRIMARY KEY (name))",
    "CREATE TABLE resource (sequence INTEGER NOT NULL, ri VARCHAR NOT NULL, pi VARCHAR NOT NULL, rn VARCHAR NOT NULL, "
    "ty INTEGER NOT NULL, root VARCHAR NOT NULL, body BLOB NOT NULL, internal BLOB, number INTEGER, next INTEGER, "
    "PRIMARY KEY (sequence))",
    "CREATE TABLE instance (id INTEGER NOT NULL, rn VARCHAR, et VARCHAR, ty INTEGER NOT NULL, root VARCHAR NOT NULL, "
    "body BLOB NOT NULL, internal BLOB, PRIMARY KEY (id))",
    "CREATE INDEX instance_et ON instance (et) WHERE et IS NOT NULL",
    "CREATE INDEX instance_rn ON instance (rn, id) WHERE rn IS NOT NULL",
    "CREATE TABLE instance_label (label VARCHAR NOT NULL, sequence INTEGER NOT NULL, id INTEGER NOT NULL, "
    "PRIMARY KEY (label, sequence)) WITHOUT ROWID",
    "CREATE INDEX instance_label_id ON instance_label (id)",
    "CREATE TABLE garbage (low INTEGER NOT NULL, high INTEGER NOT NULL, PRIMARY KEY (low))",
    "CREATE TABLE outbox (number INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (number))",
)

SET_META = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"
GET_META = "SELECT name, value FROM meta"

LOAD_RESOURCES = "SELECT sequence, ri, pi, rn, ty, root, body, internal, number, next FROM resource ORDER BY sequence"
SAVE_RESOURCE = (
    "INSERT OR REPLACE INTO resource (sequence, ri, pi, rn, ty, root, body, internal, number, next) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
DELETE_RESOURCE = "DELETE FROM resource WHERE sequence = ?"

_INSTANCE = "id, rn, et, ty, root, body, internal"
INSERT_INSTANCE = f"INSERT INTO instance ({_INSTANCE}) VALUES (?, ?, ?, ?, ?, ?, ?)"
SET_INTERNAL = "UPDATE instance SET internal = ? WHERE id = ?"
DELETE_INSTANCES = "DELETE FROM instance WHERE id BETWEEN ? AND ?"
GET_INSTANCE = f"SELECT {_INSTANCE} FROM instance WHERE id = ?"
ASCENDING = f"SELECT {_INSTANCE} FROM instance WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
DESCENDING = f"SELECT {_INSTANCE} FROM instance WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?"
BY_NAME = f"SELECT {_INSTANCE} FROM instance WHERE rn = ? AND id BETWEEN ? AND ?"
NAMES_AFTER = "SELECT rn FROM instance WHERE rn > ? AND rn < ? ORDER BY rn DESC LIMIT ?"
NAMES_LIKE_IDS = "SELECT rn FROM instance WHERE rn >= ? AND rn < ? AND id BETWEEN ? AND ?"
DUE = f"SELECT {_INSTANCE} FROM instance WHERE et <= ? ORDER BY et, id"
EARLIEST = "SELECT id, et FROM instance WHERE et IS NOT NULL ORDER BY et, id"

INSERT_LABEL = "INSERT INTO instance_label (label, sequence, id) VALUES (?, ?, ?)"
DELETE_LABELS = "DELETE FROM instance_label WHERE id BETWEEN ? AND ?"
LABELLED = "SELECT sequence, id FROM instance_label WHERE label = ? ORDER BY sequence"
LAST_LABEL = "SELECT max(sequence) FROM instance_label"

LOAD_GARBAGE = "SELECT low, high FROM garbage ORDER BY low"
ADD_GARBAGE = "INSERT INTO garbage (low, high) VALUES (?, ?)"
NEXT_SLICE = "SELECT id FROM instance WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1 OFFSET ?"
CUT_GARBAGE = "UPDATE garbage SET low = ? WHERE low = ?"
DROP_GARBAGE = "DELETE FROM garbage WHERE low = ?"

LOAD_SENDS = "SELECT number, body FROM outbox ORDER BY number"
INSERT_SEND = "INSERT INTO outbox (number, body) VALUES (?, ?)"
DELETE_SENDS = "DELETE FROM outbox WHERE number BETWEEN ? AND ?"
