"""From composed settings to a study that is ready to run."""
