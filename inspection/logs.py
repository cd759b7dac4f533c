"""Logging, one form for every process: time, level, service, message on standard error, or to a file."""

import logging
from pathlib import Path


def start_logging(service: str, *, level: str, file: Path | None) -> None:
    """Sends all log records of this process to standard error or to `file` (appended). Called once, at the edge."""
    handler: logging.Handler = logging.StreamHandler() if file is None else logging.FileHandler(file)
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)-7s {service} %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
