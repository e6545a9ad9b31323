"""Texts to vectors. The default is all-MiniLM-L6-v2 in plain NumPy; any sentence-transformers model by name or path.

Knows no documents and no index. Libraries are loaded when an embedder is made, not when this is imported.
"""

from libs.embeddings.bert import BertEmbedder
from libs.embeddings.embedder import Embedder, Vectors
from libs.embeddings.factory import DEFAULT_MODEL, HASHING, create_embedder
from libs.embeddings.hashing import HashingEmbedder
from libs.embeddings.model_files import default_model_folder
from libs.embeddings.sentence_transformers import SentenceTransformerEmbedder

__all__ = [
    "DEFAULT_MODEL",
    "HASHING",
    "BertEmbedder",
    "Embedder",
    "HashingEmbedder",
    "SentenceTransformerEmbedder",
    "Vectors",
    "create_embedder",
    "default_model_folder",
]
