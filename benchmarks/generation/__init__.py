"""Tokens a second and time to first token: the whole house, its engine alone, llama.cpp."""
