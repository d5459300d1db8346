"""`python -m feast_nb`: what a CI job asks."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
