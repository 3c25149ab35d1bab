"""Which samples a training step uses: a function of the seed and the step number, so that a resumed run replays nothing.

In every cycle of a thousand steps each task group gets exactly its share, in an order drawn from the seed; within a
group the same holds for the data sets and every thousand samples. The samples of a data set follow one another in a
shuffled order, each once an epoch. The samples of a few steps are then sorted by length and redistributed to these
steps, so that batches hold little padding. How many devices and passes execute a step changes nothing in it.

Upstream: in the release every rank draws task groups by itself and picks samples at random, whatever index it is
asked for.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glamm.config.data import MixtureConfig
from glamm.data.shards.reader import Stream
from glamm.errors import ConfigError

logger = logging.getLogger(__name__)

_CYCLE = 1000  # turns; a share of less than one in a thousand gets one turn in a thousand
_FEISTEL_ROUNDS = 4  # enough that the order shows no pattern
_UINT64_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample that a step trains on.

    Args:
        stream: Index among the mixture's streams.
        index: Index of the sample in its stream.
        epoch: How often all samples of the stream have been drawn before.
    """

    stream: int
    index: int
    epoch: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The samples of one step.

    Args:
        group: Task group of all samples.
        draws: The samples, sorted by length.
    """

    group: str
    draws: tuple[Draw, ...]


class WeightedRoundRobin:
    """Distributes turns in proportion to weights.

    Args:
        weights: Positive, of any sum.
        key: Decides the order; the same key gives the same order.
    """

    def __init__(self, weights: Sequence[float], *, key: str) -> None:
        self._counts = _apportion(weights, _CYCLE)
        self._key = key
        self._order = lru_cache(maxsize=4)(self._draw_order)

    def at(self, turn: int) -> tuple[int, int]:
        """Index of the weight that gets a turn, and how many turns it got before."""
        cycle, position = divmod(turn, _CYCLE)
        order, counts_before = self._order(cycle)
        index = int(order[position])
        return index, cycle * self._counts[index] + int(counts_before[position])

    def _draw_order(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        """For each turn of a cycle the index of its weight, and how many turns that weight got before in the cycle."""
        indices = np.repeat(np.arange(len(self._counts)), self._counts)
        order = np.random.default_rng(_seed_of(f"{self._key}/{cycle}")).permutation(indices)
        counts_before = np.zeros(_CYCLE, dtype=np.int64)
        for index in range(len(self._counts)):
            positions = np.flatnonzero(order == index)
            counts_before[positions] = np.arange(len(positions))
        return order, counts_before


class Mixture:
    """Plans which samples each training step uses.

    Args:
        streams: All samples, by task group and data set.
        config: Weights of the task groups and data sets.
        seed: The same seed gives the same plans.
        samples_per_step: Over all devices and passes of a step.
        length_bucket_steps: Number of consecutive steps of a task group whose samples are sorted by length and
            redistributed among these steps.

    Raises:
        ConfigError: No stream belongs to a task group with a weight.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        config: MixtureConfig,
        *,
        seed: int,
        samples_per_step: int,
        length_bucket_steps: int = 1,
    ) -> None:
        self.streams = tuple(streams)
        self._seed = seed
        self._samples_per_step = samples_per_step
        self._bucket_steps = length_bucket_steps
        group_weights = config.weights()
        self._bucket = lru_cache(maxsize=2 * len(group_weights))(self._draw_bucket)
        stream_weights = _stream_weights(streams, config)
        self._members = {
            group: members
            for group, weight in group_weights.items()
            if weight
            and (
                members := [
                    index
                    for index, stream in enumerate(streams)
                    if stream.group == group and stream_weights[index]
                ]
            )
        }
        if not self._members:
            present = sorted({stream.group for stream in streams})
            raise ConfigError(
                f"the shards hold {', '.join(present) or 'nothing'}, and none of it has a weight in the mixture"
            )
        self._groups = list(self._members)
        self._group_turns = WeightedRoundRobin(
            [group_weights[group] for group in self._groups], key=f"{seed}/steps"
        )
        self._stream_turns = {
            group: WeightedRoundRobin(
                [stream_weights[index] for index in members], key=f"{seed}/{group}"
            )
            for group, members in self._members.items()
        }

    def at(self, step: int) -> StepPlan:
        """The plan of an optimizer step, counted from 0."""
        group_index, steps_before = self._group_turns.at(step)
        group = self._groups[group_index]
        bucket, position = divmod(steps_before, self._bucket_steps)
        return StepPlan(group, self._bucket(group, bucket)[position])

    def _draw_bucket(self, group: str, bucket: int) -> list[tuple[Draw, ...]]:
        """The samples of each step of a bucket: similar lengths within a step, the steps in random order."""
        size, steps = self._samples_per_step, self._bucket_steps
        turns = range(bucket * steps * size, (bucket + 1) * steps * size)
        draws = sorted((self._draw(group, turn) for turn in turns), key=self._num_words)
        key = f"{self._seed}/{group}/lengths/{bucket}"
        order = np.random.default_rng(_seed_of(key)).permutation(steps)
        return [tuple(draws[index * size : (index + 1) * size]) for index in order]

    def _num_words(self, draw: Draw) -> int:
        return int(self.streams[draw.stream].entries[draw.index, 2])

    def _draw(self, group: str, turn: int) -> Draw:
        member, samples_before = self._stream_turns[group].at(turn)
        stream_index = self._members[group][member]
        stream = self.streams[stream_index]
        epoch, index = divmod(samples_before, len(stream))
        key = f"{self._seed}/{stream.group}/{stream.dataset}/{epoch}"
        return Draw(stream_index, feistel_permutation(index, len(stream), key=key), epoch)


def _stream_weights(streams: Sequence[Stream], config: MixtureConfig) -> list[float]:
    """Weight of each stream within its task group: that of its data set, or its number of samples.

    A weight of a data set that the shards do not hold is logged and has no effect: params.yaml has weights for the
    demo's data sets, and own data must train with it.
    """
    datasets = {stream.dataset for stream in streams}
    unknown = sorted(set(config.dataset_weights) - datasets)
    if unknown:
        logger.warning(
            "train.loader.mixture.dataset_weights: the shards do not hold %s, so these weights have no effect; "
            "the shards hold %s",
            ", ".join(unknown),
            ", ".join(sorted(datasets)),
        )
    return [config.dataset_weights.get(stream.dataset, float(len(stream))) for stream in streams]


def feistel_permutation(index: int, size: int, *, key: str) -> int:
    """One value of a pseudo-random permutation of `range(size)`, without computing the others.

    Args:
        index: 0 to size - 1.
        size: At least 1.
        key: Decides the permutation.

    Source: a Feistel network with cycle walking (Black and Rogaway 2002), used here to shuffle, not to encrypt.
    """
    offset = _seed_of(key)
    half_bits = max((size - 1).bit_length() + 1, 2) // 2
    mask = (1 << half_bits) - 1
    while True:
        left, right = index >> half_bits, index & mask
        for round_index in range(_FEISTEL_ROUNDS):
            round_value = _mix(right + (round_index << half_bits) + offset)
            left, right = right, left ^ (round_value & mask)
        index = (left << half_bits) | right
        if index < size:
            return index


def _mix(value: int) -> int:
    """Mix the bits of a 64-bit number (the finalizer of SplitMix64)."""
    value &= _UINT64_MAX
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _UINT64_MAX
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _UINT64_MAX
    return value ^ (value >> 31)


@lru_cache(maxsize=256)
def _seed_of(key: str) -> int:
    """A 64-bit number for a key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def _apportion(weights: Sequence[float], turns: int) -> list[int]:
    """Whole numbers of turns in proportion to weights, at least one each, by largest remainders."""
    total = sum(weights)
    exact = [weight / total * turns for weight in weights]
    counts = [max(int(value), 1) for value in exact]
    by_remainder = sorted(range(len(weights)), key=lambda index: counts[index] - exact[index])
    index = 0
    while sum(counts) < turns:
        counts[by_remainder[index % len(by_remainder)]] += 1
        index += 1
    while sum(counts) > turns:  # many weights whose share is less than one turn
        counts[counts.index(max(counts))] -= 1
    return counts
