"""What settings say of weights: the rules of an epoch, and the sinks that are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from activities.messages.weights import WeightsEpochInput
from activities.weights import WeightsRules
from adapters.clock import Clock
from adapters.ledger.engine import Ledger
from adapters.ledger.publications import silent_epochs
from adapters.ledger.weights import live_rounds
from adapters.round_backend import RoundBackend
from adapters.sinks.bittensor import BittensorChain
from adapters.sinks.chain import ChainSink
from adapters.sinks.file import FileSink
from adapters.sinks.http import HttpSink
from adapters.sinks.port import WeightSink
from weather.faults import ConfigurationInvalid
from weather.weights.window import counted_window, head
from workers.settings import Settings

MOST_SILENT = 2
STALE_AFTER = timedelta(days=5)


def weights_rules(settings: Settings, validator: str) -> WeightsRules:
    """What an epoch is given; the sinks by name, in the order in which they are shown."""
    if settings.weights_buffer_seconds >= settings.weights_tempo_seconds:
        raise ConfigurationInvalid("weights_buffer_seconds leaves nothing of weights_tempo_seconds")
    given = {"chain": settings.weights_chain, "file": settings.weights_folder, "http": settings.weights_http_url}
    return WeightsRules(
        network=settings.network,
        validator=validator,
        genesis=settings.weights_genesis,
        cadence=timedelta(seconds=settings.weights_cadence_seconds),
        tempo=timedelta(seconds=settings.weights_tempo_seconds),
        buffer=timedelta(seconds=settings.weights_buffer_seconds),
        policies=settings.weights_policy,
        sinks=tuple(name for name, place in given.items() if place),
        truth_stage=settings.weights_truth_stage,
        after_reveal=after_reveal(settings),
    )


def after_reveal(settings: Settings) -> bool:
    """Whether what the chain has not revealed is shown nowhere else."""
    return settings.weights_chain is not None and settings.weights_disclosure == "after_reveal"


def weights_are_silent(rules: WeightsRules, ledger: Ledger, clock: Clock) -> bool:
    """Whether two epochs did not reach every sink, although they could be shown for an epoch."""
    now = rules.resolve(WeightsEpochInput(), clock.now())
    with ledger.read() as session:
        return silent_epochs(session, rules.network, now.epoch, now.as_of - rules.tempo) >= MOST_SILENT


def weights_are_stale(rules: WeightsRules, ledger: Ledger, clock: Clock) -> datetime | None:
    """When the last counted round was closed, if no new one counts for long; weights are emitted all the same."""
    epoch = rules.resolve(WeightsEpochInput(), clock.now())
    with ledger.read() as session:
        rounds = live_rounds(session, rules.network, rules.rounds)
    top, least = head(rounds, int(clock.now().timestamp())), rules.policy(epoch.epoch).policy.min_coverage_ppm
    closed = [each.closed_at or 0 for each in counted_window(rounds, top, len(rounds), least)]
    since = datetime.fromtimestamp(max(closed, default=0), UTC)
    return since if closed and clock.now() - since >= STALE_AFTER else None


def weight_sinks(settings: Settings) -> list[WeightSink]:
    """Every sink that is configured."""
    sinks: list[WeightSink] = []
    if settings.weights_folder:
        sinks.append(FileSink(settings.weights_folder))
    if settings.weights_http_url:
        sinks.append(HttpSink(RoundBackend(settings.weights_http_url, settings.weights_http_token)))
    if settings.weights_chain:
        sinks.append(_chain(settings, settings.weights_chain))
    return sinks


def _chain(settings: Settings, network: str) -> ChainSink:
    netuid, wallet = settings.weights_chain_netuid, settings.weights_chain_wallet
    if netuid is None or wallet is None:
        raise ConfigurationInvalid("a chain needs weights_chain_netuid and weights_chain_wallet")
    chain = BittensorChain(network, netuid, wallet, settings.weights_chain_wallets.expanduser())
    burn_hotkey = settings.weights_policy[-1].policy.burn_hotkey
    return ChainSink(chain, chain.account, burn_hotkey, settings.weights_chain_accounts)
