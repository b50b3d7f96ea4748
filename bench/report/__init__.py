"""Records -> tables, figures and the statistics behind them, as pure functions.

May import errors, system, config (names), results, metrics, data; no torch. Here lies what all of
them share: records grouped, scored, and estimated with their intervals. `tables`, `plots` and
`page` show it, and each may import those before it.
"""
