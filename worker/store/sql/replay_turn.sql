SELECT revision, state FROM replays WHERE name = %(name)b
