"""Every checked-in history replays."""
