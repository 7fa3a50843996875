"""ClickHouse: the tables of analytics and the ways into them.

address      a DSN, checked
migrations   the tables, rollups and views, as numbered .sql files; `migrate` applies them
columns      which columns an event has
tables       which topic fills which table; docs/tables.md
splice       records -> one Avro container, undecoded
store        inserts and the questions of the sink, over HTTP
reader       reads for people;   archive   usage, and where old outcomes stand
"""
