"""`python -m heedful`, also under torchrun."""

from heedful.cli import main

if __name__ == "__main__":
    main()
