"""Finds passages: analysis, the two arms, fusion, filters."""
