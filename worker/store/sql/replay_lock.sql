SELECT generation, model_id, files FROM replays WHERE name = %(name)b FOR UPDATE
