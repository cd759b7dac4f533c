"""Cameras to tiles to ZeroMQ: sources, fabric edges, quality, cutting, spool, sender. No torch, no database."""
