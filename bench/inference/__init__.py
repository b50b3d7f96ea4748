"""Trained networks at work: kept weights on new film, on other datasets, exported.

May import runner, report and all to the left of these; the command line alone imports it.
"""
