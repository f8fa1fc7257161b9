"""One section of the page a file: from plain data to what its template writes down."""
