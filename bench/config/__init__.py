"""What may be set, and what it comes to: settings, presets, names, plugins.

May import `bench.errors`, `bench.system`, and the contracts `methods._base`, `datasets._base`.
"""
