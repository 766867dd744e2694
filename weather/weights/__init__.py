"""From closed rounds to weights: windows, policies and shares, in integers."""
