"""Any server that speaks OpenAI's protocol over HTTP."""

from model_service.adapters.openai.embeddings import OpenAIEmbeddings
from model_service.adapters.openai.engine import OpenAIEngine

__all__ = ["OpenAIEmbeddings", "OpenAIEngine"]
