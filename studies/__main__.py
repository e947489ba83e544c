"""``python -m studies``: see ``command``."""

if __name__ == "__main__":  # a process that a study starts imports this file, too, and no more
    from studies.command import main

    main()
