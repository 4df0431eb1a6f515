"""Texts in, labels out. torch and transformers are known in this room alone.

Importing it imports neither; `load_classifier` does.
"""

from __future__ import annotations

from worker.classifier.interface import BatchPolicy, Classifier, ModelInfo, Text
from worker.classifier.loading import load_classifier

__all__ = ["BatchPolicy", "Classifier", "ModelInfo", "Text", "load_classifier"]
