"""`CrasConfig`: every setting of the method. `CrasConfig()` is ours, `CrasConfig.paper()` the paper's recipe.

Where the two differ, and what each difference measured, is in docs/method.md.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from cras_core.errors import ConfigError

AdapterStart = Literal["whiten", "identity", "xavier"]
Centers = Literal["kmeans", "coreset", "position", "sample"]
Matching = Literal["nearest", "position"]
NoiseGuide = Literal["ratio", "residual", "noise", "none"]
DiscriminatorInput = Literal["raw+residual", "raw", "residual", "raw+raw", "residual+residual"]
Routing = Literal["discriminant", "cosine"]
Schedule = Literal["cosine", "constant"]
Calibration = Literal["crossfit", "holdout"]
ScoreScale = Literal["surprise", "probability"]

MAX_SEED = 2**63 - 1  # of torch's generators


@dataclass(frozen=True, kw_only=True)
class CrasConfig:
    """Raises `ConfigError` for impossible values."""

    # the picture
    backbone: str = "efficientnet_lite2"  # docs/accuracy.md says what each gives; lite0 is the fastest
    tile_px: int = 256
    resize_px: int = 0  # pictures larger than a tile: shorter side made this, then the middle; 0: whole, as one tile
    mm_per_px: float = 0.2
    # MCMC
    levels: tuple[int, ...] = (2, 3)  # level l has stride 2 ** (l + 1)
    neighbourhood: int = 3  # side of the square of positions that each vector is averaged over; 1: its own alone
    embedding_dim: int | None = None  # 0: the levels' own channels; None: the backbone's usual (1536 for the paper's)
    standardize: bool = True  # each channel by the training set's mean and deviation
    adapter_start: AdapterStart = "whiten"  # "xavier": the paper's random one
    centers: Centers = "kmeans"  # "coreset": greedy; "position": eq. 1; "sample": the vectors of one tile (ablation B)
    centers_per_style: int = 64  # of k-means or the core set
    # HPI
    routing: Routing = "discriminant"  # "cosine": eq. 2
    matching: Matching = "nearest"  # eq. 3; "position": each vector against the center of its own place (ablation C)
    # DAFS
    noise_deviation: float = 0.5  # s; in units of a channel's deviation when features are standardized
    noise_scaling: float = 0.3  # k; 1: without the linear scaling
    noise_guide: NoiseGuide = "ratio"  # g / d of eq. 5; "residual": 1 / d; "noise": g; "none": r = 1 (ablation D)
    # CRD
    discriminator_input: DiscriminatorInput = "raw+residual"  # eq. 7
    # training
    epochs: int | None = None  # None: as many as make `steps`, so that few tiles are not learned too little
    steps: int = 400
    batch_size: int = 8  # tiles
    adapter_rate: float = 1e-3
    discriminator_rate: float = 2e-3
    discriminator_decay: float = 1e-5
    schedule: Schedule = "cosine"
    vectors_per_tile: int = 256  # drawn anew each epoch; 0: all
    averaging: float = 0.0  # decay of the heads' running average a step, which is then the model; 0: the last step is
    seed: int = 0
    # scoring
    score_scale: ScoreScale = "surprise"  # -ln(1 - p), never saturates; "probability": p, eq. 9
    smoothing_px: float = 4.0  # sigma
    # thresholds
    calibration: Calibration = "crossfit"
    calibration_folds: int = 3
    false_alarms_per_100m: float = 10.0  # of roll, as the pictures show it

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name, low in _AT_LEAST.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, got {getattr(self, name)}")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be greater than 0, got {getattr(self, name)}")
        for name, value in asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} must be a finite number, got {value}")
        if self.seed > MAX_SEED:
            raise ConfigError(f"seed must be at most {MAX_SEED}, got {self.seed}")
        if not self.levels or sorted(set(self.levels)) != list(self.levels) or not {*self.levels} <= {1, 2, 3, 4}:
            raise ConfigError(f"levels must be ascending, among 1, 2, 3, 4, got {self.levels}")
        if self.matching == "position" and not self.by_position:
            raise ConfigError("matching by position needs centers by position: choose centers position or sample")
        if self.neighbourhood % 2 == 0:
            raise ConfigError(f"neighbourhood must be odd, got {self.neighbourhood}")
        if 0 < self.resize_px < self.tile_px:
            raise ConfigError(f"resize_px must be 0 or at least tile_px ({self.tile_px}), got {self.resize_px}")
        if not 0 <= self.averaging < 1:
            raise ConfigError(f"averaging must be in [0, 1), got {self.averaging}")
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, got {self.epochs}")
        if self.embedding_dim is not None and (self.embedding_dim < 0 or self.embedding_dim % len(self.levels)):
            raise ConfigError(
                f"embedding_dim must be a multiple of {len(self.levels)} levels, got {self.embedding_dim}"
            )

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The paper's recipe (method and training as published; one seed, raw scores, last epoch)."""
        recipe: dict[str, Any] = {
            "backbone": "wide_resnet50_2",
            "tile_px": 288,
            "resize_px": round(changes.get("tile_px", 288) * 329 / 288),
            "embedding_dim": 1536,
            "standardize": False,
            "adapter_start": "xavier",
            "centers": "position",
            "routing": "cosine",
            "noise_deviation": 0.015,
            "epochs": 100,
            "batch_size": 32,
            "adapter_rate": 1e-4,
            "discriminator_rate": 2e-4,
            "vectors_per_tile": 0,
            "schedule": "constant",
            "averaging": 0.0,
            "score_scale": "probability",
        }
        return cls(**(recipe | changes))

    @property
    def by_position(self) -> bool:
        """Whether a style has a center vector for every position of a tile, and no more."""
        return self.centers in ("position", "sample")

    def ablated(self, name: str) -> Self:
        """This configuration with one of the paper's parts left out, by its name in `ABLATIONS`."""
        if name not in ABLATIONS:
            raise ConfigError(f"ablation must be one of {', '.join(ABLATIONS)}, got {name!r}")
        return replace(self, **ABLATIONS[name])

    def epochs_for(self, tiles: int) -> int:
        """Passes over so many tiles."""
        return self.epochs or math.ceil(self.steps / math.ceil(tiles / self.batch_size))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"levels": list(self.levels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`. Raises `ConfigError` for unknown names and wrong types."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown settings: {', '.join(sorted(unknown))}")
        try:
            return cls(**{**values, "levels": tuple(values.get("levels", cls.levels))})
        except TypeError as error:
            raise ConfigError(f"a setting has the wrong type: {error}") from error


ABLATIONS: dict[str, dict[str, Any]] = {
    "A": {"noise_guide": "none", "discriminator_input": "raw"},  # adapter, Gaussian noise and discriminator only
    "B": {"centers": "sample"},  # without MCMC: one sample as center, to be routed by too where eq. 2 routes
    "C": {"centers": "position", "matching": "position"},  # without HPI's local matching
    "D": {"noise_guide": "none"},  # without DAFS: noise of fixed variance
    "E": {"discriminator_input": "raw"},  # without CRD: raw features alone
    "crd-raw": {"discriminator_input": "raw"},  # the same, by its name among the finer ones
    "dafs-unscaled": {"noise_scaling": 1.0},
    "dafs-residual-norm": {"noise_guide": "residual"},  # without the noise's norm
    "dafs-noise-norm": {"noise_guide": "noise"},  # without the residual's norm
    "crd-residual": {"discriminator_input": "residual"},
    "crd-raw+raw": {"discriminator_input": "raw+raw"},
    "crd-residual+residual": {"discriminator_input": "residual+residual"},
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "adapter_start": get_args(AdapterStart),
    "centers": get_args(Centers),
    "routing": get_args(Routing),
    "matching": get_args(Matching),
    "noise_guide": get_args(NoiseGuide),
    "discriminator_input": get_args(DiscriminatorInput),
    "schedule": get_args(Schedule),
    "calibration": get_args(Calibration),
    "score_scale": get_args(ScoreScale),
}
_AT_LEAST = {
    "tile_px": 32,
    "resize_px": 0,
    "neighbourhood": 1,
    "centers_per_style": 1,
    "steps": 1,
    "batch_size": 1,
    "vectors_per_tile": 0,
    "noise_scaling": 0,
    "discriminator_decay": 0,
    "smoothing_px": 0,
    "calibration_folds": 2,
    "seed": 0,
}
_POSITIVE = (
    "mm_per_px",
    "noise_deviation",
    "adapter_rate",
    "discriminator_rate",
    "false_alarms_per_100m",
)
