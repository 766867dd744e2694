"""What passes between workflows and activities: ids, digests and small sums."""
