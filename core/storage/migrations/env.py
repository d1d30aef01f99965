"""Run by Alembic: apply the steps on the connection that opening.py hands over, inside its transaction."""

from alembic import context

from core.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
