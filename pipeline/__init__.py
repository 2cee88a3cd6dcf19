"""When things run: Prefect flows, schedules and the `gan` command. Runs DVC as processes; imports no torch."""
