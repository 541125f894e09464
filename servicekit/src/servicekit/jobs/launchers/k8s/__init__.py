"""Jobs as Jobs of Kubernetes: rendered, submitted and talked to through the cluster's API."""
