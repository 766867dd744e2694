"""Whether a validator's log only grows: asked at every receipt, and what convicts it is kept."""

from __future__ import annotations

import asyncio
import logging

from adapters.log_client import LogClient
from miner.premises import Premises
from miner.tree_heads import Conviction
from protocol.log import SignedHead, growth_broken
from protocol.receipt import CommitmentAnswer
from weather.faults import EgressDown, MinerFault

log = logging.getLogger("barograph.miner.log")


async def watch_log(validator: str, receipt: CommitmentAnswer, premises: Premises) -> None:
    """Compare the head of a receipt, and those that could not be compared before, with the largest one known."""
    heads = premises.heads
    await asyncio.to_thread(heads.see, validator, _head_of(receipt))
    for head in await asyncio.to_thread(heads.new, validator):
        try:
            await _compare(validator, head, premises)
        except (EgressDown, MinerFault) as silent:
            log.warning("validator %s gives no consistency proof, it is asked again: %s", validator, silent)
            return


async def _compare(validator: str, head: SignedHead, premises: Premises) -> None:
    heads = premises.heads
    known = await asyncio.to_thread(heads.largest, validator)
    if known is None:
        await asyncio.to_thread(heads.judge, validator, head, "proved")
        return
    older, newer = sorted((known, head), key=_size)
    proof = await _proof(validator, older, newer, premises)
    broken = growth_broken(older, newer, proof)
    await asyncio.to_thread(heads.judge, validator, head, "broken" if broken else "proved")
    if broken:
        found = Conviction(validator, older, newer, broken, list(proof), premises.clock.now())
        await asyncio.to_thread(heads.convict, found)
        log.critical("validator %s is convicted: %s of %d and %d leaves", validator, broken, _size(older), _size(newer))


async def _proof(validator: str, older: SignedHead, newer: SignedHead, premises: Premises) -> tuple[str, ...]:
    if _size(older) == _size(newer):
        return ()
    base_url = premises.registry.validator(validator).base_url
    answer = await LogClient(premises.egress).consistency(base_url, _size(older), _size(newer))
    return answer.consistency_proof


def _head_of(receipt: CommitmentAnswer) -> SignedHead:
    return SignedHead(tree_head=receipt.tree_head, tree_head_signature=receipt.tree_head_signature)


def _size(head: SignedHead) -> int:
    return head.tree_head.tree_size
