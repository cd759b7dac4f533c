"""Alembic's entry: runs the migrations on the connection `storage.schema` opened, inside its one transaction."""

from alembic import context

from storage.schema import VERSION_TABLE
from storage.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
context.run_migrations()
