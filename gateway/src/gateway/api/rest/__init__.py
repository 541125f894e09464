"""Everything but the hot routes: health, metrics, API keys, the OpenAPI page. FastAPI lives only here."""
