"""Where an answer comes from: the request, its model, the data, the release and the passages behind it."""
