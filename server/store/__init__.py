"""The database: two SQLite files, their tables, migrations, settings and the vault."""
