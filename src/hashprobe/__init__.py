"""hashprobe: how far an adversary can move the results of hashing-based retrieval."""
