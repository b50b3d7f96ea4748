"""From a question to cells: the grid, its cells with their identities, what is left to do.

May import errors, system, config, frame_store, results, metrics, data.
"""
