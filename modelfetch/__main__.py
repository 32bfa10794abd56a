"""`python -m modelfetch`."""

from modelfetch.cli import main

if __name__ == "__main__":
    main()
