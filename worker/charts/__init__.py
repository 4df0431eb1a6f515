"""Trends as pictures: `terminal.render_terminal` and `png.draw_png`."""

from __future__ import annotations
