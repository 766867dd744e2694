"""The synthetic planet: a closed form for weather, its analyses, reanalysis and forecasts."""
