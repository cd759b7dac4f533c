"""The error tree of the method. Each is one clear line: what is wrong, where, what to do.

CrasError
|-- ConfigError      a setting of the method is impossible
|-- PictureError     a picture cannot be read or has the wrong form
|-- DataSetError     a data set's folders are incomplete, or samples do not fit together
|-- BackboneError    a backbone's weights are missing or are not the ones expected
|   `-- MissingWeightsError  they are neither given nor to be had
|-- CheckpointError  an unfinished training cannot be kept, or gone on with
|   `-- StaleCheckpointError  what it left is damaged, or of another training
|-- BundleError      a bundle is damaged, incomplete, or made for something else
`-- EngineError      a runtime is not on this machine, or does not decide as the reference does
"""


class CrasError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigError(CrasError):
    """A setting of the method is impossible."""


class PictureError(CrasError):
    """A picture cannot be read or has the wrong form."""


class DataSetError(CrasError):
    """A data set's folders are incomplete, or samples do not fit together."""


class BackboneError(CrasError):
    """A backbone's weights are missing or are not the ones expected."""


class MissingWeightsError(BackboneError):
    """A backbone's weights are neither given nor to be had from a package or by a download."""


class CheckpointError(CrasError):
    """An unfinished training cannot be kept, or gone on with."""


class StaleCheckpointError(CheckpointError):
    """What an unfinished training left is damaged, or of another training: it can only be started anew."""


class BundleError(CrasError):
    """A bundle is damaged, incomplete, or made for something else."""


class EngineError(CrasError):
    """A runtime is not on this machine, or does not decide as the reference does."""
