"""The outside: model-service over gRPC, records, key sets."""
