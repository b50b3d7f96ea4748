"""The results folder: records, claims, requests, and what `status` and `explain` say of them.

May import errors, system and config (names only); no torch, so that any machine can look at results
at once.
"""
