"""What trains on the result of curation."""
