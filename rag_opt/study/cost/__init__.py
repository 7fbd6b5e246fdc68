"""What trials and whole searches cost, measured and forecast."""
