"""``python -m pytest_modelbudget`` is the command ``modelbudget``."""

from pytest_modelbudget.commands.cli import main

raise SystemExit(main())
