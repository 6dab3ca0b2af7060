"""What a causal language model does: how it reads, what it says, whom it prefers."""
