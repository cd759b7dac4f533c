"""The error tree. Everything a user can put right is a `LoomwatchError`: one line that names the thing and the way out.

LoomwatchError
|-- SettingsError         a setting or an argument is wrong
|-- ImageError            a picture or frame cannot be read or inspected
|-- SourceError           a camera, folder or video cannot be opened or read
|   `-- SourceAwayError   a camera does not answer now, but may again
|-- WireError             bytes from the network do not follow the protocol
|-- StorageError          the database, the picture store or Redis
|   |-- SchemaError       the database is of another version than this program
|   |-- RecordRefused     this record cannot be stored, however often it is tried
|   |-- StorageAwayError  a store does not answer, or has no room, now
|   `-- ChangedMeanwhile  somebody else changed a defect or sample since it was read
`-- ServiceError          a port in use, a full disk, a process that would not start

`cras_core` knows nothing of ours and has its own root, `cras_core.errors.CrasError`; the command line treats both
alike.
"""


class LoomwatchError(Exception):
    """One clear line: what is wrong, where, what to do. The command line prints it and exits with 2."""


class SettingsError(LoomwatchError):
    """A setting or an argument is wrong."""


class ImageError(LoomwatchError):
    """A picture or frame cannot be read or inspected."""


class SourceError(LoomwatchError):
    """A camera, folder or video cannot be opened or read."""


class SourceAwayError(SourceError):
    """A camera does not answer, or is in use by another program: worth another try."""


class WireError(LoomwatchError):
    """Bytes from the network do not follow the protocol."""


class StorageError(LoomwatchError):
    """The database, the picture store or Redis refuses."""


class SchemaError(StorageError):
    """The database is of another version than this program."""


class RecordRefused(StorageError):
    """A frame, gap or count contradicts itself or what is stored, or holds what the database does not take. Sent again
    it would be refused again."""


class StorageAwayError(StorageError):
    """A store does not answer, or its disk is full: worth another try."""


class ChangedMeanwhile(StorageError):
    """Somebody else changed a defect, or the samples of a training, since it was read: look again, then decide."""


class ServiceError(LoomwatchError):
    """A port in use, a full disk, a process that would not start."""
