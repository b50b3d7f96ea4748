"""Reports: tables as pure functions of records, and the statistics behind them."""
