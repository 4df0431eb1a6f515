"""Texts in, labels out. torch and transformers are known in this room alone."""

from __future__ import annotations

from worker.classifier.interface import BatchPolicy, Classifier, ModelInfo, Text

__all__ = ["BatchPolicy", "Classifier", "ModelInfo", "Text"]
