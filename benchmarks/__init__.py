"""Speed, as ratios; accuracy joins when there are improved systems to compare."""
