"""The wire format of OpenAI's Responses API: requests read, items turned into turns, events written."""
