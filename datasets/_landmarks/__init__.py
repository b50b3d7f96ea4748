"""Face landmarks: markups, face files that a detector wrote, official landmark files."""
