"""Blobs on disk by their SHA-256, see `common.taskgraph.blob_store`: the coordinator keeps some too."""

from common.taskgraph.blob_store import BlobStore

__all__ = ["BlobStore"]
