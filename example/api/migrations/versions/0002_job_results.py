"""Results of the worker's jobs."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Add the table of results, listed newest first."""
    op.create_table(
        "job_results",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("worker", sa.String(120), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_job_results_finished_at", "job_results", ["finished_at"])


def downgrade() -> None:
    """Remove the table of results."""
    op.drop_table("job_results")
