"""The machine: files, processes, hashes, random streams, devices and versions.

Knows no cell, record or dataset. May import `bench.errors` and nothing else of ours.
"""
