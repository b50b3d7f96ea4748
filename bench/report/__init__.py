"""Records -> tables, figures and the statistics behind them, as pure functions.

May import errors, system, config (names), results, metrics, data; no torch.
"""
