"""Measurements that `make bench` prints: ratios taken in one run, for machines are noisy."""

from __future__ import annotations
