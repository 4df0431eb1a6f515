"""Everything that Postgres holds: schema, claims, the one transaction, reads. SQL is in `sql/`."""

from __future__ import annotations
