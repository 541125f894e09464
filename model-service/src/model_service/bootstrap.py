"""The only place that chooses engines, by URL, and wires the service together."""

from __future__ import annotations

from typing import Any

from model_service import metrics
from model_service.adapters.artifacts import ChildPreparer
from model_service.engines.base import Engine
from model_service.models.additions import Additions, Bounds
from model_service.models.catalog import Catalog
from model_service.models.config import ModelConfig, load_config
from model_service.models.trained import TrainedFolders
from model_service.settings import ModelServiceSettings
from servicekit.errors import Reason, SixfoldError
from servicekit.identity import load_key
from servicekit.objects import Objects, open_objects
from servicekit.rpc import Tls

SCHEMES = (
    "openvino",
    "sentence-transformers",
    "triton",
    "tritons",
    "openai+http",
    "openai+https",
)


def make_engine(config: ModelConfig) -> Engine:
    """The engine for a model's URL. Each adapter is imported only if a model asks for it.

    Raises SixfoldError(ENGINE_UNAVAILABLE) for a scheme that nobody serves, ConfigError for options
    that an engine does not take.
    """
    name, url, options = config.name, config.engine, dict(config.options)
    match config.scheme:
        case "openvino":
            from model_service.adapters.openvino.engine import OpenVinoEngine

            return OpenVinoEngine(name, url, options)
        case "sentence-transformers":
            from model_service.adapters.sentence_transformers.engine import SentenceTransformersEngine

            return SentenceTransformersEngine(name, url, options)
        case "triton" | "tritons":
            from model_service.adapters.triton import TritonEngine

            return TritonEngine(name, url, options)
        case "openai+http" | "openai+https":
            return _openai(name, url, options)
    raise SixfoldError(
        Reason.ENGINE_UNAVAILABLE,
        f"No engine is known for '{config.scheme}://'. Known: {', '.join(SCHEMES)}.",
    )


def make_catalog(settings: ModelServiceSettings) -> Catalog:
    """The models of models.yaml, none loaded yet. Raises ConfigError."""
    models = load_config(settings.models_file, settings.home)
    catalog = Catalog(models, make_engine, load_seconds=settings.load_seconds)
    metrics.watch(catalog)
    return catalog


def make_objects(settings: ModelServiceSettings) -> Objects:
    """Where artifacts of trainings lie. Connects at the first use."""
    key = load_key(settings.objects_key_file) if settings.objects_key_file else None
    try:
        return open_objects(settings.objects, key=key, threads=2)
    except ValueError as error:
        raise SystemExit(f"SIXFOLD_OBJECTS_URL: {error}.") from None


def make_additions(settings: ModelServiceSettings, catalog: Catalog, objects: Objects) -> Additions:
    """What takes trained models in."""
    root = settings.trained_folder
    preparer = ChildPreparer(
        objects, root, limit=settings.max_artifact_bytes, seconds=settings.convert_seconds
    )
    bounds = Bounds(settings.max_trained_models, settings.max_tenant_models)
    return Additions(catalog, TrainedFolders(root), preparer, bounds)


def _openai(name: str, url: str, options: dict[str, Any]) -> Engine:
    """`kind: embeddings` in the options makes it an embedding model."""
    from model_service.adapters.openai import OpenAIEmbeddings, OpenAIEngine

    kind = options.pop("kind", "text")
    if kind == "embeddings":
        return OpenAIEmbeddings(name, url, options)
    if kind != "text":
        raise SixfoldError(Reason.ENGINE_UNAVAILABLE, f"'kind' of {name} must be text or embeddings.")
    return OpenAIEngine(name, url, options)


def make_tls(settings: ModelServiceSettings) -> Tls | None:
    """Mutual TLS, where the settings name certificates."""
    return Tls.from_settings(settings)
