"""`python -m hashprobe` is the command line."""

from hashprobe.cli.app import main


if __name__ == "__main__":
    main()
