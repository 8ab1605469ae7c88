"""One run: everything that decides its result, and nothing else."""

from isobyte.config.backbone import Backbone
from isobyte.config.base import Config
from isobyte.config.data import DataConfig
from isobyte.config.objective import Objective
from isobyte.config.representation import Representation
from isobyte.config.train import EvaluateConfig, TrainConfig


class RunConfig(Config):
    """A design (representation x objective x backbone), its data and its training; the hash is the run's identity."""

    representation: Representation
    objective: Objective
    backbone: Backbone
    data: DataConfig
    train: TrainConfig
    evaluate: EvaluateConfig = EvaluateConfig()
