"""Rating of products: a class and a score from what is said in reviews."""
