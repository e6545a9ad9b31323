"""A setting's value becomes an embedder."""

from libs.embeddings.bert import BertEmbedder
from libs.embeddings.embedder import Embedder
from libs.embeddings.hashing import HashingEmbedder
from libs.embeddings.model_files import default_model_folder
from libs.embeddings.sentence_transformers import SentenceTransformerEmbedder

DEFAULT_MODEL = "all-MiniLM-L6-v2"
HASHING = "hashing"


def create_embedder(model: str = DEFAULT_MODEL, *, threads: int | None = None) -> Embedder:
    """`all-MiniLM-L6-v2` (NumPy, 0.14 GB), `hashing` (words only), or a sentence-transformers hub id or folder.

    `threads` are for the first; where other processes want the cores, more than one is slower than one.

    Raises FileNotFoundError or OSError if the model cannot be found.
    """
    if model == DEFAULT_MODEL:
        return BertEmbedder(default_model_folder(), name=DEFAULT_MODEL, threads=threads)
    if model == HASHING:
        return HashingEmbedder()
    return SentenceTransformerEmbedder(model)
