"""The study of curated fine-tuning."""
