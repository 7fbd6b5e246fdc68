"""What the commands share: Hydra composition, messages, signals."""
