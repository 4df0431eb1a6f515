"""One thin module a command: settings in, words and pictures out."""

from __future__ import annotations
