"""One thin module a command."""

from __future__ import annotations
