"""An opened dataset, and what `bench data` says of it.

May import every wing to its left: errors, system, config, frame_store, results, metrics; no torch
of its own.
"""
