"""The environments, one file each, and what they share: the contract in base.py."""
