"""Infrastructure as code: the broker, the local stack, containers, collectors and manifests."""
