"""The other side of the protocol: the reference miner, and the template for people who join.

A forecast of one's own is a function in `forecasts`; nothing else need change. The rest by the way of a call:
`service` takes it and starts the workflow `MinerJob`, whose steps are in `activities`: `inputs` fetches the GFS fields
that it names, `forecasts` makes the forecast, `store_writer` writes the Zarr store, `submission` sends the signed
commitment, `log_watch` looks whether the validator's log only grows. `jobs` is the host's SQLite file, `settings` is
`miners.toml`, `premises` is what the miners of a process share, `host` puts all together, and `cheats` is for the demo
and for tests.
"""
