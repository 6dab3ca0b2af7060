"""What studies are made of: units of work, options, reports, figures, tracking."""
