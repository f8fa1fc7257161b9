"""heedful serve: a run that answers over HTTP, and a page to try it on."""
