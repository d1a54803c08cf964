"""What a run reports to files: JSON, a page, a trace, pictures, and annotations for continuous integration."""
