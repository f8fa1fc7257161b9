"""`heedful.profile`: what attention costs, part by part, and which of it matters."""
