"""Questions for those who have none, and evidence for questions that have none."""
