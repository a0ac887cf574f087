"""Histories: what people do to an optimizer, in any order; see `machine_oracle` for what must hold."""

from hypothesis.stateful import initialize
from machine_config import Config, configs
from machine_kinds import ATTACHED, OWN
from machine_torchs import Torchs
from machine_updates import watched
from machine_world import World


class Own(Torchs):
    """Of tapered's optimizers."""

    @initialize(config=configs(OWN))
    def begin(self, config: Config) -> None:
        watched(lambda: self.starts(config))

    def starts(self, config: Config) -> None:
        self.world = World(config)


class Attached(Own):
    """Of torch's optimizers, and tapered's with a number, under a clock."""

    @initialize(config=configs(ATTACHED))
    def begin(self, config: Config) -> None:
        watched(lambda: self.starts(config))
