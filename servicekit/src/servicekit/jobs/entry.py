"""`python -m servicekit.jobs.entry <worker's process id>`: handlers import `child` by its own name."""

from servicekit.jobs.child import main

if __name__ == "__main__":
    main()
