"""Migrations: forward, back, repeated, and in agreement with the models."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from app.models import Base
from app.schema import CONFIG_FILE, Schema, SchemaState


def config(engine: Engine) -> Config:
    made = Config(CONFIG_FILE)
    made.attributes["engine"] = engine
    return made


def test_migrations_make_the_schema_of_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_changes_nothing(engine: Engine, schema: Schema) -> None:
    schema.upgrade(engine)
    command.upgrade(config(engine), "head")
    with engine.connect() as connection:
        assert schema.status(connection).state is SchemaState.CURRENT


def test_every_migration_can_be_undone(engine: Engine) -> None:
    command.downgrade(config(engine), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_migrating_on_a_newer_schema_leaves_it_alone(engine: Engine, schema: Schema) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    command.upgrade(config(engine), "head")
    with engine.connect() as connection:
        assert schema.status(connection).current == "9999"
