"""Where files and batch jobs are kept: in a folder, or in memory. Both pass one behaviour suite."""

from services.gateway.adapters.batch_storage.files import FolderFiles
from services.gateway.adapters.batch_storage.in_memory import MemoryStorage
from services.gateway.adapters.batch_storage.jobs import FolderJobs

__all__ = ["FolderFiles", "FolderJobs", "MemoryStorage"]
