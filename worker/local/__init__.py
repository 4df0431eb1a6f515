"""An embedded broker and Postgres for the demo, the tests and trying out; not for production.

Nothing outside this package knows which broker or which Postgres build it is.
"""

from __future__ import annotations
