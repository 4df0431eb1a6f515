SELECT generation, model_id, files, state FROM replays WHERE name = %(name)b FOR UPDATE
