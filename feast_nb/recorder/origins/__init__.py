"""Where runs, models and frames come from: the cells, retrievals and objects behind them."""
