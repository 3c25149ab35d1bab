"""Which samples a step trains: a function of the seed and the step's number, so that nothing needs to be replayed.

Within every thousand turns each kind of conversation, and within a kind each data set, gets exactly its share, in
an order drawn from the seed. The samples of a data set follow one another in a shuffled order, each once an epoch;
those of a few steps are then dealt to these steps by their length, so that little of a batch is padding. How many
devices and passes carry a step out changes nothing in it.

Upstream: the release draws kinds on every rank by itself and picks samples at random, whatever index it is asked for.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glamm.config.data import MixtureConfig
from glamm.data.shards.reader import Stream
from glamm.errors import ConfigError

_TURNS = 1000  # a share of less than one in a thousand gets one turn in a thousand
_ROUNDS = 4  # of a Feistel network: enough that no pattern is seen
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample to train.

    Args:
        stream: Which of the mixture's streams.
        index: Which of its samples.
        epoch: How often the stream has been through before.
    """

    stream: int
    index: int
    epoch: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one step trains.

    Args:
        group: The one kind of conversation of all its samples.
        draws: The samples, those of like length together.
    """

    group: str
    draws: tuple[Draw, ...]


class Rota:
    """Gives turns to several takers by their shares.

    Args:
        shares: Positive, of any sum.
        key: Decides the order; the same key gives the same order.
    """

    def __init__(self, shares: Sequence[float], *, key: str) -> None:
        self._turns = _apportion(shares, _TURNS)
        self._key = key
        self._order = lru_cache(maxsize=4)(self._draw_order)

    def at(self, turn: int) -> tuple[int, int]:
        """Who has a turn, and how many turns it had before."""
        block, place = divmod(turn, _TURNS)
        order, before = self._order(block)
        taker = int(order[place])
        return taker, block * self._turns[taker] + int(before[place])

    def _draw_order(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        takers = np.repeat(np.arange(len(self._turns)), self._turns)
        order = np.random.default_rng(_number(f"{self._key}/{block}")).permutation(takers)
        before = np.zeros(_TURNS, dtype=np.int64)
        for taker in range(len(self._turns)):
            places = np.flatnonzero(order == taker)
            before[places] = np.arange(len(places))
        return order, before


class Mixture:
    """Says what every step trains.

    Args:
        streams: What there is.
        config: How often each is wanted.
        seed: Of the run.
        samples_per_step: Over all devices and passes.
        length_bucket_steps: Steps of a kind whose samples are sorted by length and dealt to them again.

    Raises:
        ConfigError: Nothing that has a weight is in the streams, or a rate names a data set that is not there.
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
        self._length_window = length_bucket_steps
        self._window = lru_cache(maxsize=2 * len(config.weights()))(self._draw_window)
        unknown = sorted(set(config.dataset_weights) - {stream.dataset for stream in streams})
        if unknown:
            raise ConfigError(
                f"the mixture has rates for data sets that the shards do not hold: {', '.join(unknown)}"
            )
        rated = [
            config.dataset_weights.get(stream.dataset, float(len(stream))) for stream in streams
        ]
        self._groups = [
            group
            for group, weight in config.weights().items()
            if weight
            and any(
                rate and stream.group == group for rate, stream in zip(rated, streams, strict=True)
            )
        ]
        if not self._groups:
            held = sorted({stream.group for stream in streams})
            raise ConfigError(
                f"the shards hold {', '.join(held) or 'nothing'}, and none of it has a weight in the mixture"
            )
        weights = config.weights()
        self._of_steps = Rota([weights[group] for group in self._groups], key=f"{seed}/steps")
        self._members = [
            [
                index
                for index, stream in enumerate(streams)
                if stream.group == group and rated[index]
            ]
            for group in self._groups
        ]
        self._of_samples = [
            Rota([rated[index] for index in members], key=f"{seed}/{group}")
            for group, members in zip(self._groups, self._members, strict=True)
        ]

    def at(self, step: int) -> StepPlan:
        """The plan of an optimiser step, counted from 0."""
        group, steps_before = self._of_steps.at(step)
        window, place = divmod(steps_before, self._length_window)
        return StepPlan(self._groups[group], self._window(group, window)[place])

    def _draw_window(self, group: int, window: int) -> list[tuple[Draw, ...]]:
        """The samples of every step of a window: those of a step are of like length, steps follow at random."""
        size, steps = self._samples_per_step, self._length_window
        turns = range(window * steps * size, (window + 1) * steps * size)
        draws = sorted((self._draw(group, turn) for turn in turns), key=self._num_words)
        key = f"{self._seed}/{self._groups[group]}/lengths/{window}"
        order = np.random.default_rng(_number(key)).permutation(steps)
        return [tuple(draws[place * size : (place + 1) * size]) for place in order]

    def _num_words(self, draw: Draw) -> int:
        return int(self.streams[draw.stream].places[draw.index, 2])

    def _draw(self, group: int, turn: int) -> Draw:
        member, before = self._of_samples[group].at(turn)
        number = self._members[group][member]
        stream = self.streams[number]
        epoch, place = divmod(before, len(stream))
        key = f"{self._seed}/{stream.group}/{stream.dataset}/{epoch}"
        return Draw(number, shuffled(place, len(stream), key=key), epoch)


def shuffled(place: int, size: int, *, key: str) -> int:
    """Where a place comes from in a shuffled order of `size` things, without writing the order down.

    Args:
        place: 0 to size - 1.
        size: How many things.
        key: Decides the order.

    Source: a Feistel network with cycle walking (Black and Rogaway 2002), here for order and not for secrecy.
    """
    number = _number(key)
    half = max((size - 1).bit_length() + 1, 2) // 2
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for index in range(_ROUNDS):
            left, right = right, left ^ (_mix(right + (index << half) + number) & mask)
        place = (left << half) | right
        if place < size:
            return place


def _mix(value: int) -> int:
    """Scatter 64 bits (the finaliser of SplitMix64)."""
    value &= _WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return value ^ (value >> 31)


@lru_cache(maxsize=256)
def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def _apportion(shares: Sequence[float], turns: int) -> list[int]:
    """Whole turns by shares, at least one each, largest remainders first."""
    total = sum(shares)
    exact = [share / total * turns for share in shares]
    given = [max(int(value), 1) for value in exact]
    by_need = sorted(range(len(shares)), key=lambda index: given[index] - exact[index])
    index = 0
    while sum(given) < turns:
        given[by_need[index % len(by_need)]] += 1
        index += 1
    while sum(given) > turns:  # many takers of less than a turn each
        given[given.index(max(given))] -= 1
    return given
