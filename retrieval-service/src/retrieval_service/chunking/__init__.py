"""Cuts documents into passages along their structure."""

from retrieval_service.chunking.chunker import chunk, document_language
from retrieval_service.chunking.duplicates import Signature, signature, similarity, text_digest
from retrieval_service.chunking.language import detect
from retrieval_service.chunking.strategy import Strategy
from retrieval_service.chunking.tokens import estimate

__all__ = [
    "Signature",
    "Strategy",
    "chunk",
    "detect",
    "document_language",
    "estimate",
    "signature",
    "similarity",
    "text_digest",
]
