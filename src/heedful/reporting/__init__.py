"""What the page of a run shows, gathered from run folders: models run here, pages are elsewhere."""
