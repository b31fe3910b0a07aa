"""``python -m api.cli``: the same program as ``counterfoil``."""

from api.cli.program import main

if __name__ == "__main__":
    main()
