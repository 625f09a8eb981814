"""``python -m sandbox salesforce``."""

from sandbox.cli import app

if __name__ == "__main__":
    app(prog_name="sandbox")
