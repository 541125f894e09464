"""The wire format of OpenAI: requests parsed and checked, answers written. No web, no proto."""
