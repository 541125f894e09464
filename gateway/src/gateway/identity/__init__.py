"""Who is calling: tokens, API keys, roles and scopes. No web framework, no database here."""
