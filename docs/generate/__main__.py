"""Writes the parts of the pages that come from the code: `make reference`."""

from __future__ import annotations

import sys

from docs.generate.pages import stale

if __name__ == "__main__":
    for path, text in stale():
        path.write_text(text, "utf-8")
        sys.stdout.write(f"{path}: written\n")
