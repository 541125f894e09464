"""Text generation with OpenVINO GenAI: continuous batching in a process of its own.

`ContinuousBatchingPipeline.step` keeps Python's interpreter lock for as long as it computes, and an
error inside it leaves the pipeline unusable. In a process of its own it can neither hold up the
service's event loop nor take the service down: it is started again.
"""
