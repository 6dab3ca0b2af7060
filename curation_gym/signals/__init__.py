"""What is known about a sample: encoders, trained classifiers, text quality, uncertainty."""
