"""What turns a sample into a label."""
