"""Decoded frames on disk: every frame decoded, cropped and resized once.

May import `bench.errors`, `bench.system` and `datasets`; no torch.
"""
