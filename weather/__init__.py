"""What is true of forecasts: fields, grids, metrics, score rules, ranking. Pure."""
