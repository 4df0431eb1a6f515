"""emotion-stream's trainer: fine-tunes, evaluates and packages the model as a bundle."""

from __future__ import annotations
